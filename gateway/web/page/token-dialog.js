/** Shell: the API token: asked for when the server wants one, kept in this tab, never in an address. */

const KEY = "api-token";

export class TokenDialog {
  #dialog = document.getElementById("token-dialog");
  #input = document.getElementById("token");
  #hint = document.getElementById("token-hint");
  #token = stored();
  #answer = null;

  constructor() {
    document.getElementById("token-form").addEventListener("submit", () => this.#accept());
    document.getElementById("token-cancel").addEventListener("click", () => this.#dialog.close());
    this.#dialog.addEventListener("close", () => this.#answer(this.#dialog.returnValue === "accepted"));
  }

  get value() {
    return this.#token;
  }

  /**
   * Ask for a token, for the server refused the session without one or with this one.
   * @returns {Promise<boolean>} whether there is one to try
   */
  ask() {
    if (this.#token !== "") {
      this.#hint.textContent = "The token was not accepted. Please check it and try again.";
    }
    this.#input.value = "";
    this.#dialog.returnValue = ""; // Escape and Cancel leave it so
    this.#dialog.showModal();
    return new Promise((resolve) => {
      this.#answer = resolve;
    });
  }

  #accept() {
    this.#token = this.#input.value.trim();
    try {
      sessionStorage.setItem(KEY, this.#token);
    } catch (error) {
      if (!(error instanceof DOMException)) {
        throw error; // a browser that keeps nothing: the token lives as long as the page
      }
    }
  }
}

function stored() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch (error) {
    if (error instanceof DOMException) {
      return "";
    }
    throw error;
  }
}
