/**
 * The network in a worker of its own, so that the page stays responsive, and so that closing it gives all of its memory
 * back: that of WebAssembly never shrinks.
 */
export class Engine {
  #worker = new Worker("worker.js");
  #replies = [];

  /**
   * @param {{network: object, litert: string}} site what bin/build_page.py put into site.js
   */
  constructor({ network, litert }) {
    this.#worker.onmessage = ({ data }) => {
      const { resolve, reject } = this.#replies.shift();
      data.error ? reject(new Error(data.error)) : resolve(data);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(event.message || "the worker could not be started");
    };
    /** Resolves when the network is there. */
    this.ready = this.#ask({ network, litert });
    // Whoever paints hears of it; an engine that is closed before is no error.
    this.ready.catch(() => {});
  }

  /**
   * @param {ImageData | ImageBitmap} image the latter is closed
   * @param {Float32Array} weights of the styles
   * @param {object} how
   * @param {{width: number, height: number}} how.pass the size that the image is painted at: strokes have so many pixels
   *   at any size, so the smaller it is, the larger they become
   * @param {{width: number, height: number}} how.size of the picture
   * @param {number} [how.strength] from 0, the image, over 1, the picture, to a little more
   * @returns {Promise<ImageData>} it rejects if the engine is closed
   */
  async paint(image, weights, { pass, size, strength = 1 }) {
    await this.ready;
    const given = image instanceof ImageBitmap ? [image] : [];
    const { pixels } = await this.#ask({ image, weights, pass, size, strength }, given);
    return new ImageData(pixels, size.width, size.height);
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
