/** Paints a camera or a video live: always its newest picture, without those that came while it painted. */

import { Engine } from "./engine.js";
import { Pace } from "./pace.js";
import { fitted } from "./pixels.js";
import { pictureOf } from "./video.js";

const RATE = 500; // Milliseconds between two reports of the rate.

export class Live {
  #source;
  #site;
  #how;
  #show;
  #tell;
  #engine;
  #pace;
  #isOver = false;
  #isFresh = true; // Whether the video shows a picture that is not painted yet.
  #wake;

  /**
   * @param {import("./video.js").Source} source
   * @param {object} site as bin/build_page.py writes it to site.js
   * @param {() => {weights: Float32Array, strokeSize: number, strength: number}} how asked before every picture
   * @param {(picture: ImageData) => void} show called with every picture
   * @param {(rate: number, pass: {width: number, height: number}) => void} tell called every half second, with the
   *   pictures per second and the size that they are painted at
   */
  constructor(source, site, how, show, tell) {
    this.#source = source;
    this.#site = { ...site, network: site.liveNetwork ?? site.network, predictor: null };
    this.#how = how;
    this.#show = show;
    this.#tell = tell;
    this.#engine = new Engine(this.#site);
    this.#pace = new Pace(site.imageSize);
  }

  /** Resolves when the source ends or is closed; rejects if painting cannot go on. */
  async run() {
    const { video } = this.#source;
    let reason;
    this.#source.over().then((error) => {
      reason = error;
      this.#end();
    });
    this.#watch(video);
    let [pictures, since] = [0, performance.now()];
    try {
      while (await this.#fresh()) {
        const pass = await this.#paint(video);
        pictures++;
        const elapsed = performance.now() - since;
        if (elapsed < RATE || !pass) continue;
        this.#tell((1000 * pictures) / elapsed, pass);
        [pictures, since] = [0, performance.now()];
      }
    } catch (error) {
      if (!this.#isOver) throw error;
    }
    if (reason) throw reason;
  }

  /** The video that is painted. */
  get video() {
    return this.#source.video;
  }

  /** The name of the source, for files. */
  get name() {
    return this.#source.name;
  }

  /**
   * The current picture of the source.
   *
   * @returns {Promise<ImageBitmap>}
   */
  picture() {
    return pictureOf(this.#source.video);
  }

  /** Ends painting, stops the source, and releases all memory. */
  close() {
    this.#end();
    this.#engine.close();
    this.#source.stop();
  }

  /** Paints the newest picture; returns the size that it was painted at, or undefined if there was not enough memory. */
  async #paint(video) {
    this.#isFresh = false;
    const image = await pictureOf(video);
    const { strokeSize, strength, weights } = this.#how();
    const size = even(fitted(image, this.#site.imageSize));
    const pass = this.#pace.pass(size.width, size.height, strokeSize);
    const start = performance.now();
    let picture;
    try {
      picture = await this.#engine.paint(image, weights, { pass, size, strength });
    } catch (error) {
      if (this.#isOver || !this.#pace.avoid(pass)) throw error;
      this.#engine.close();
      this.#engine = new Engine(this.#site);
      return undefined;
    }
    if (this.#isOver) return undefined;
    this.#pace.took(performance.now() - start, pass);
    this.#show(picture);
    return pass;
  }

  /** Waits for a picture that is not painted yet; resolves to whether there is one. */
  async #fresh() {
    if (!this.#isFresh && !this.#isOver) await new Promise((resolve) => (this.#wake = resolve));
    return !this.#isOver;
  }

  #watch(video) {
    const next = (call) => (video.requestVideoFrameCallback ? video.requestVideoFrameCallback(call) : requestAnimationFrame(call));
    const seen = () => {
      if (this.#isOver) return;
      this.#isFresh = true;
      this.#wake?.();
      next(seen);
    };
    next(seen);
  }

  #end() {
    this.#isOver = true;
    this.#wake?.();
  }
}

/** Clips in H.264 have even sides. */
function even({ width, height }) {
  return { width: 2 * Math.ceil(width / 2), height: 2 * Math.ceil(height / 2) };
}
