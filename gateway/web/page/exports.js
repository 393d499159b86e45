/** Shell: the buttons that copy, save and clear the transcript. */

import { COPY_FAILED } from "./strings.js";

const UNDO_MS = 8_000;
const COPIED_MS = 1_600;

function byId(id) {
  return document.getElementById(id);
}

export class Exports {
  #transcript;
  #view;
  #controls;
  #buttons = ["copy", "save-txt", "save-srt", "clear"].map(byId);

  constructor(transcript, view, controls) {
    this.#transcript = transcript;
    this.#view = view;
    this.#controls = controls;
    byId("copy").addEventListener("click", ({ target }) => this.#copy(target));
    byId("save-txt").addEventListener("click", () => save(`${transcript.text()}\n`, "txt", "text/plain"));
    byId("save-srt").addEventListener("click", () => save(transcript.srt(), "srt", "application/x-subrip"));
    byId("clear").addEventListener("click", () => this.#clear());
  }

  /** Enable the buttons if there is a transcript. */
  refresh() {
    for (const button of this.#buttons) {
      button.disabled = this.#transcript.isEmpty;
    }
  }

  async #copy(button) {
    try {
      await navigator.clipboard.writeText(this.#transcript.text());
      button.textContent = "Copied";
      setTimeout(() => {
        button.textContent = "Copy";
      }, COPIED_MS);
    } catch (error) {
      // TypeError: no clipboard on an insecure page; DOMException: the browser refuses.
      if (!(error instanceof DOMException || error instanceof TypeError)) {
        throw error;
      }
      this.#controls.showNotice(COPY_FAILED);
    }
  }

  #clear() {
    this.#transcript.clear();
    this.#update();
    const purge = setTimeout(() => {
      this.#view.purge();
      this.#transcript.purge();
    }, UNDO_MS);
    const act = () => {
      clearTimeout(purge);
      this.#transcript.restore();
      this.#update();
    };
    this.#controls.showNotice({ title: "The transcript is cleared.", detail: "", shownMs: UNDO_MS }, { label: "Undo", act });
  }

  #update() {
    this.#view.refresh();
    this.refresh();
  }
}

function save(text, ending, type) {
  const link = document.createElement("a");
  const time = new Date().toISOString().slice(0, 16).replace("T", "-").replace(":", "");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = `transcript-${time}.${ending}`;
  link.click();
  // Late enough for the browser to have read the file.
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
