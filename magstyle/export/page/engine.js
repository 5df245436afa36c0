/**
 * Runs the network in a worker of its own: the page stays responsive, and closing the engine frees all of its memory,
 * which WebAssembly alone never does.
 */
export class Engine {
  #worker = new Worker("worker.js");
  #replies = [];

  /**
   * @param {{network: object, predictor: object | null, litert: string}} site as bin/build_page.py writes it to site.js
   */
  constructor({ network, predictor, litert }) {
    this.#worker.onmessage = ({ data }) => {
      const { resolve, reject } = this.#replies.shift();
      data.error ? reject(new Error(data.error)) : resolve(data);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(event.message || "the worker could not be started");
    };
    /** Resolves when the network is ready. */
    this.ready = this.#ask({ network, predictor, litert });
    // A failure is reported by paint(); an engine that is closed earlier has not failed.
    this.ready.catch(() => {});
  }

  /**
   * @param {ImageData | ImageBitmap} image an ImageBitmap is closed
   * @param {Float32Array} weights that the network takes for a style
   * @param {object} how
   * @param {{width: number, height: number}} how.pass the size that the image is painted at: strokes have as many pixels at
   *   any size, so they are larger in smaller images
   * @param {{width: number, height: number}} [how.finishing] the size of a second pass, which finishes large strokes
   * @param {{width: number, height: number}} how.size of the picture
   * @param {boolean} [how.detail] whether an enlarged picture without a second pass gets back the image's fine detail
   * @param {number} [how.strength] 0 gives the image, 1 the picture, and up to 1.5 more than that
   * @returns {Promise<ImageData>} it rejects if the engine is closed
   */
  async paint(image, weights, { pass, finishing, size, detail = false, strength = 1 }) {
    await this.ready;
    const given = image instanceof ImageBitmap ? [image] : [];
    const { pixels } = await this.#ask({ image, weights, pass, finishing, size, detail, strength }, given);
    return new ImageData(pixels, size.width, size.height);
  }

  /**
   * Tells the style of a painting.
   *
   * @param {ImageData} painting
   * @returns {Promise<Float32Array>} the weights that the network takes for it
   */
  async predict(painting) {
    await this.ready;
    const { weights } = await this.#ask({ painting });
    return weights;
  }

  close() {
    this.#worker.terminate();
    this.#fail("closed");
  }

  #ask(message, given = []) {
    return new Promise((resolve, reject) => {
      this.#replies.push({ resolve, reject });
      this.#worker.postMessage(message, given);
    });
  }

  #fail(reason) {
    for (const { reject } of this.#replies.splice(0)) reject(new Error(reason));
  }
}
