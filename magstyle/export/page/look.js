/** The sliders that apply to every style: the strength, and the size of the strokes. */

export class Look {
  #strength = document.querySelector("#strength");
  #strokeSize = document.querySelector("#stroke-size");

  /**
   * @param {() => void} fade called when the strength has changed
   * @param {() => void} paint called when the size of strokes has changed
   */
  constructor(fade, paint) {
    for (const [input, changed] of [[this.#strength, fade], [this.#strokeSize, paint]]) {
      input.addEventListener("input", () => {
        this.#label();
        changed();
      });
    }
    this.#label();
  }

  /** 0 gives the photo, 1 the picture, and up to 1.5 more than that. */
  strength() {
    return this.#strength.valueAsNumber / 100;
  }

  /** 2 is twice as large as trained. */
  strokeSize() {
    // Equal steps of the slider are equal factors.
    return 2 ** this.#strokeSize.valueAsNumber;
  }

  #label() {
    label(this.#strength, `${Math.round(100 * this.strength())} %`);
    label(this.#strokeSize, `× ${this.strokeSize().toFixed(1)}`);
  }
}

function label(input, words) {
  input.setAttribute("aria-valuetext", words);
  input.parentElement.querySelector("output").textContent = words;
}
