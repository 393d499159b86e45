/** Shell: what one can do with the transcript: copy, save, clear. */

import { COPY_FAILED } from "./strings.js";

const UNDO_MS = 8_000;
const COPIED_MS = 1_600;

function byId(id) {
  return document.getElementById(id);
}

export class Exports {
  #transcript;
  #view;
  #panel;
  #buttons = ["copy", "save-txt", "save-srt", "clear"].map(byId);

  constructor(transcript, view, panel) {
    this.#transcript = transcript;
    this.#view = view;
    this.#panel = panel;
    byId("copy").addEventListener("click", ({ target }) => this.#copy(target));
    byId("save-txt").addEventListener("click", () => save(`${transcript.text()}\n`, "txt", "text/plain"));
    byId("save-srt").addEventListener("click", () => save(transcript.srt(), "srt", "application/x-subrip"));
    byId("clear").addEventListener("click", () => this.#clear());
  }

  /** Offer only what there is something for. */
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
      // No clipboard at all on an insecure page, or a browser that refuses.
      if (!(error instanceof DOMException || error instanceof TypeError)) {
        throw error;
      }
      this.#panel.showNotice(COPY_FAILED);
    }
  }

  #clear() {
    this.#transcript.clear();
    this.#show();
    const forget = setTimeout(() => {
      this.#view.purge();
      this.#transcript.purge();
    }, UNDO_MS);
    const act = () => {
      clearTimeout(forget);
      this.#transcript.restore();
      this.#show();
    };
    this.#panel.showNotice({ title: "The transcript is cleared.", detail: "", shownMs: UNDO_MS }, { label: "Undo", act });
  }

  #show() {
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
  // The browser has the file's content by then; only its handle is given back.
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
