/** The thumbnails to pick styles from, and the sliders that mix them. */

/**
 * @typedef {object} Style
 * @property {string} name
 * @property {string} label its name on the page
 * @property {string} thumbnail the address of an image
 * @property {Float32Array} weights that the network takes for it
 */

export class Styles {
  #styles = [];
  #numWeights;
  #change;
  #form = document.querySelector("#styles");
  #mix = document.querySelector("#mix");
  #sliders = document.querySelector("#sliders");
  #inputs = [];
  #amounts = [];

  /**
   * @param {{name: string, label: string, thumbnail: string}[]} styles of the network, the first of which is picked; none
   *   if they come by `add`
   * @param {number} numWeights that the network takes
   * @param {() => void} change called when the mixture has changed
   */
  constructor(styles, numWeights, change) {
    this.#numWeights = numWeights;
    this.#change = change;
    for (const [k, style] of styles.entries()) {
      this.#append({ ...style, weights: new Float32Array(numWeights).fill(1, k, k + 1) });
    }
    if (styles.length) this.#inputs[0].checked = true;
    this.#mix.addEventListener("change", () => this.#switch());
    this.#form.addEventListener("submit", (event) => event.preventDefault());
    this.#layOut();
  }

  /**
   * Adds a style and picks it.
   *
   * @param {Style} style
   */
  add(style) {
    this.#append(style).checked = true;
    this.#layOut();
    this.#change();
  }

  /** Whether there is no style yet. */
  get isEmpty() {
    return !this.#styles.length;
  }

  /** The weights that the network takes for the mixture; zeros if there is no style. */
  weights() {
    const sums = new Float32Array(this.#numWeights);
    for (const [k, share] of this.#shares().entries()) {
      for (const [i, weight] of this.#styles[k].weights.entries()) sums[i] += share * weight;
    }
    return sums;
  }

  /** How much of each style there is in the mixture; it sums to 1. */
  #shares() {
    const amounts = this.#inputs.map((input, k) => (input.checked ? this.#amounts[k] : 0));
    const total = amounts.reduce((sum, amount) => sum + amount, 0);
    // With all sliders at zero, the styles that are picked count alike.
    if (!total) return Float32Array.from(this.#inputs, (input) => input.checked / this.#picked().length);
    return Float32Array.from(amounts, (amount) => amount / total);
  }

  /** The mixture in words, such as "Signac Rodez 60 %, Monet Agapanthus 40 %". */
  words() {
    const picked = this.#picked();
    const shares = this.#shares();
    return picked.map((k) => this.#styles[k].label + (picked.length > 1 ? ` ${percent(shares[k])}` : "")).join(", ");
  }

  /** The names of the styles, for the name of a file. */
  fileName() {
    return this.#picked().map((k) => this.#styles[k].name).join("+");
  }

  #append(style) {
    const k = this.#styles.push(style) - 1;
    this.#amounts.push(50);
    const element = tile(style, k, this.#mix.checked);
    document.querySelector("#add").before(element);
    const input = element.querySelector("input");
    input.addEventListener("change", () => this.#pick(k));
    this.#inputs.push(input);
    return input;
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
    const shares = this.#shares();
    const heaviest = shares.indexOf(Math.max(...shares));
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
    document.querySelector("#hint").hidden = !this.isEmpty;
    this.#mix.closest("label").hidden = this.#styles.length < 2;
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
    const shares = this.#shares();
    for (const row of this.#sliders.children) {
      const range = row.querySelector("input");
      const share = percent(shares[range.dataset.style]);
      range.setAttribute("aria-valuetext", share);
      row.querySelector("output").textContent = share;
    }
  }
}

function tile({ label, thumbnail }, k, isMixed) {
  const element = Object.assign(document.createElement("label"), { className: "tile" });
  const input = Object.assign(document.createElement("input"), { type: isMixed ? "checkbox" : "radio", name: "style", value: k });
  const image = Object.assign(document.createElement("img"), { src: thumbnail, alt: "", width: 160, height: 160 });
  const name = Object.assign(document.createElement("span"), { textContent: label });
  element.append(input, image, name);
  return element;
}

function percent(part) {
  return `${Math.round(part * 100)} %`;
}
