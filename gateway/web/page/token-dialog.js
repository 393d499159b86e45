/** Shell: asks for the API token when the server demands one. It is kept in this tab only, and never in an address. */

const KEY = "api-token";

export class TokenDialog {
  #dialog = document.getElementById("token-dialog");
  #input = document.getElementById("token");
  #hint = document.getElementById("token-hint");
  #token = loadToken();
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
   * Ask for a token after the server has refused the session, without a token or with the present one.
   * @returns {Promise<boolean>} false: cancelled
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
        throw error; // a DOMException: storage is forbidden, so the token is kept as long as the page
      }
    }
  }
}

function loadToken() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch (error) {
    if (error instanceof DOMException) {
      return "";
    }
    throw error;
  }
}
