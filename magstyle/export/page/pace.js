/** Chooses the size that moving pictures are painted at, so that painting keeps up with them. */

// Longer sides to choose from, in pixels: few, so that the network is seldom prepared anew; below the first, nothing can be recognised.
const SIDES = [128, 160, 192, 256, 320, 384, 512, 640, 768, 1024];
const FIRST = 160;
const FRAME = 80; // Milliseconds that a frame may take.
const FRAMES = 5; // Frames that are measured before the size changes.

export class Pace {
  #sides;
  #rung;
  #times = [];
  #last;

  /** @param {number} longest side of any picture, in pixels */
  constructor(longest) {
    const below = SIDES.filter((side) => side < longest);
    this.#sides = [...below, longest];
    this.#rung = Math.max(0, this.#sides.findLastIndex((side) => side <= FIRST));
  }

  /**
   * The size to paint the next frame at, with sides of multiples of 4.
   *
   * @param {number} width of the frame, which is not enlarged
   * @param {number} height
   * @param {number} strokeSize 2 paints at half the size that time allows
   * @returns {{width: number, height: number}}
   */
  pass(width, height, strokeSize) {
    const wanted = Math.min(this.#sides[this.#rung], Math.max(width, height)) / strokeSize;
    const side = this.#sides.findLast((known) => known <= wanted) ?? this.#sides[0];
    const factor = side / Math.max(width, height);
    const [passWidth, passHeight] = [width, height].map((length) => Math.max(8, 4 * Math.round((length * factor) / 4)));
    return { width: passWidth, height: passHeight };
  }

  /**
   * @param {number} milliseconds that a frame took
   * @param {{width: number, height: number}} pass that it was painted at
   */
  took(milliseconds, pass) {
    // The first frame of a size also prepares the network for it.
    const isFirst = this.#last?.width !== pass.width || this.#last?.height !== pass.height;
    this.#last = pass;
    if (isFirst) this.#times = [];
    else this.#times.push(milliseconds);
    if (this.#times.length < FRAMES) return;
    const median = this.#times.sort((a, b) => a - b)[Math.floor(FRAMES / 2)];
    this.#times = [];
    const perPixel = median / Math.max(pass.width, pass.height) ** 2;
    const foreseen = (rung) => perPixel * this.#sides[rung] ** 2;
    // Between the two limits nothing changes, so that the size does not go back and forth.
    if (foreseen(this.#rung) > 1.25 * FRAME) {
      while (this.#rung && foreseen(this.#rung) > FRAME) this.#rung--;
    } else if (this.#rung + 1 < this.#sides.length && foreseen(this.#rung + 1) < 0.9 * FRAME) {
      this.#rung++;
    }
  }

  /**
   * Excludes a size that did not fit into memory, and all larger ones.
   *
   * @param {{width: number, height: number}} pass
   * @returns {boolean} whether a smaller one is left
   */
  avoid(pass) {
    const smaller = this.#sides.filter((side) => side < Math.max(pass.width, pass.height));
    if (!smaller.length) return false;
    this.#sides = smaller;
    this.#rung = Math.min(this.#rung, smaller.length - 1);
    return true;
  }
}
