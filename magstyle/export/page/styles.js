/** The thumbnails to pick styles from, and the sliders that mix them. */

export class Styles {
  #styles;
  #change;
  #form = document.querySelector("#styles");
  #mix = document.querySelector("#mix");
  #sliders = document.querySelector("#sliders");
  #inputs;
  #amounts;

  /**
   * @param {{name: string, label: string, thumbnail: string}[]} styles
   * @param {() => void} change called when the mixture has changed
   */
  constructor(styles, change) {
    this.#styles = styles;
    this.#change = change;
    this.#amounts = styles.map(() => 50);
    document.querySelector("#tiles").append(...styles.map(tile));
    this.#inputs = [...this.#form.querySelectorAll("[name=style]")];
    this.#inputs[0].checked = true;
    for (const [k, input] of this.#inputs.entries()) input.addEventListener("change", () => this.#pick(k));
    this.#mix.addEventListener("change", () => this.#switch());
    this.#mix.closest("label").hidden = styles.length < 2;
    this.#form.addEventListener("submit", (event) => event.preventDefault());
  }

  /** The weights of the styles, which sum to 1. */
  weights() {
    const amounts = this.#inputs.map((input, k) => (input.checked ? this.#amounts[k] : 0));
    const total = amounts.reduce((sum, amount) => sum + amount);
    // With all sliders at zero, the styles that are picked count alike.
    if (!total) return Float32Array.from(this.#inputs, (input) => input.checked / this.#picked().length);
    return Float32Array.from(amounts, (amount) => amount / total);
  }

  /** The mixture in words, such as "Signac Rodez 60 %, Monet Agapanthus 40 %". */
  words() {
    const picked = this.#picked();
    const weights = this.weights();
    return picked.map((k) => this.#styles[k].label + (picked.length > 1 ? ` ${percent(weights[k])}` : "")).join(", ");
  }

  /** The names of the styles, for the name of a file. */
  fileName() {
    return this.#picked().map((k) => this.#styles[k].name).join("+");
  }

  #picked() {
    return [...this.#inputs.keys()].filter((k) => this.#inputs[k].checked);
  }

  #pick(k) {
    // One style always stays picked.
    if (!this.#picked().length) this.#inputs[k].checked = true;
    this.#layOut();
    this.#change();
  }

  #switch() {
    const weights = this.weights();
    const heaviest = weights.indexOf(Math.max(...weights));
    const before = this.#picked().length;
    // Radio buttons and check boxes come with the keys and the words for screen readers that people know.
    for (const [k, input] of this.#inputs.entries()) {
      input.type = this.#mix.checked ? "checkbox" : "radio";
      input.checked = k === heaviest;
    }
    this.#layOut();
    if (before > 1) this.#change();
  }

  #layOut() {
    const picked = this.#mix.checked ? this.#picked() : [];
    this.#sliders.replaceChildren(...picked.map((k) => this.#slider(k)));
    this.#sliders.dataset.hint = this.#mix.checked && picked.length < 2 ? "Pick another style to mix with." : "";
    this.#label();
  }

  #slider(k) {
    const row = document.createElement("label");
    const name = Object.assign(document.createElement("span"), { textContent: this.#styles[k].label });
    const range = Object.assign(document.createElement("input"), { type: "range", min: 0, max: 100 });
    range.value = this.#amounts[k];
    range.dataset.style = k;
    range.addEventListener("input", () => {
      this.#amounts[k] = range.valueAsNumber;
      this.#label();
      this.#change();
    });
    row.append(name, range, document.createElement("output"));
    return row;
  }

  #label() {
    const weights = this.weights();
    for (const row of this.#sliders.children) {
      const range = row.querySelector("input");
      const share = percent(weights[range.dataset.style]);
      range.setAttribute("aria-valuetext", share);
      row.querySelector("output").textContent = share;
    }
  }
}

function tile({ label, thumbnail }, k) {
  const element = Object.assign(document.createElement("label"), { className: "tile" });
  const input = Object.assign(document.createElement("input"), { type: "radio", name: "style", value: k });
  const image = Object.assign(document.createElement("img"), { src: thumbnail, alt: "", width: 160, height: 160 });
  const name = Object.assign(document.createElement("span"), { textContent: label });
  element.append(input, image, name);
  return element;
}

function percent(part) {
  return `${Math.round(part * 100)} %`;
}
