/**
 * One model of one size in a worker of its own, so that the page stays responsive, and so that closing it gives all of its
 * memory back: that of WebAssembly never shrinks.
 */
export class Engine {
  #worker = new Worker("worker.js");
  #replies = [];

  /**
   * @param {{file: string, size: number}} model
   * @param {string} litert folder of LiteRT.js
   */
  constructor(model, litert) {
    this.#worker.onmessage = ({ data }) => {
      const { resolve, reject } = this.#replies.shift();
      data.error ? reject(new Error(data.error)) : resolve(data);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(event.message || "the worker could not be started");
    };
    /** Resolves when the model is ready to paint. */
    this.ready = this.#ask({ model, litert });
  }

  /**
   * @param {ImageData} photo no side longer than the model's
   * @param {Float32Array} weights of the styles
   * @returns {Promise<ImageData>} of the size of the photo; it rejects if the engine is closed
   */
  async paint(photo, weights) {
    await this.ready;
    const { pixels } = await this.#ask({ photo, weights });
    return new ImageData(pixels, photo.width, photo.height);
  }

  close() {
    this.#worker.terminate();
    this.#fail("closed");
  }

  #ask(message) {
    return new Promise((resolve, reject) => {
      this.#replies.push({ resolve, reject });
      this.#worker.postMessage(message);
    });
  }

  #fail(reason) {
    for (const { reject } of this.#replies.splice(0)) reject(new Error(reason));
  }
}
