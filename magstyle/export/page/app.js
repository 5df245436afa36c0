/** The page: takes photos and moving pictures, shows pictures of them, and says what it is doing. */

import "./site.js";
import { Live } from "./live.js";
import { Look } from "./look.js";
import { goOffline } from "./offline.js";
import { Painter } from "./painter.js";
import { NoPainting, readPainting } from "./painting.js";
import { NotAPhoto, download, draw, read, save } from "./photo.js";
import { fade } from "./pixels.js";
import { NoRecorder, Recorder } from "./recorder.js";
import { Styles } from "./styles.js";
import { Transport } from "./transport.js";
import { NoVideo, cameras, openCamera, openVideo, pictureOf, playAgain } from "./video.js";

const site = self.SITE;
const find = (selector) => document.querySelector(selector);
const styles = new Styles(site.styles, site.numWeights, paint);
const look = new Look(redraw, paint);
const painter = new Painter(site, show, report);
const transport = new Transport(playOrPause, seek, paintSought);
let photo;
// The last picture of the photo, and whether it is the final one.
let shown;
// These exist while moving pictures are painted, and while they are recorded.
let live;
let recorder;
// The video file that is open, playing or not.
let clip;
// How many photos, cameras, videos and pictures of a video have been chosen. The last one is shown, even if another is
// opened later.
let chosen = 0;
let sought; // Which of them is a picture of that video file.
let adding = false; // Whether any painting has been given.

listen();
await goOffline(() => !chosen && !adding);
await start();

async function start() {
  if (typeof WebAssembly !== "object") {
    say("This browser has no WebAssembly, without which the page cannot paint.", true);
    return;
  }
  try {
    busy("Loading…");
    await painter.open();
    if (site.liveNetwork) fetch(site.liveNetwork.file).catch(console.debug); // The service worker keeps it.
    if (!chosen) say("Ready.");
  } catch (error) {
    report(error);
  }
}

function listen() {
  find("#add").hidden = !site.predictor;
  find("#painting").addEventListener("change", () => {
    addPaintings([...find("#painting").files]);
    find("#painting").value = ""; // So that the same file can be chosen again.
  });
  for (const input of [find("#file"), find("#camera")]) {
    input.addEventListener("change", () => {
      if (input.files.length) open(input.files[0]);
      input.value = ""; // So that the same file can be chosen again.
    });
  }
  for (const button of document.querySelectorAll("[data-open]")) {
    button.addEventListener("click", () => document.getElementById(button.dataset.open).click());
  }
  for (const button of document.querySelectorAll("[data-live]")) {
    button.addEventListener("click", () => watch(() => openCamera(), "Opening the camera…"));
  }
  find("#cameras").addEventListener("change", () => {
    const device = find("#cameras").value;
    watch(() => openCamera(device), "Opening the camera…");
  });
  find("#stop").addEventListener("click", () => freeze(live));
  find("#record").addEventListener("click", () => (recorder ? keepClip() : record()));
  find("#example").addEventListener("click", () => take(fetchExample()));
  document.addEventListener("paste", ({ clipboardData }) => {
    if (clipboardData.files.length) open(clipboardData.files[0]);
  });
  for (const type of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(type, (event) => {
      event.preventDefault();
      const { files } = event.dataTransfer;
      const isPainting = Boolean(site.predictor) && find("#styles").contains(event.target);
      find("#stage").classList.toggle("target", type === "dragover" && !isPainting);
      find("#styles").classList.toggle("target", type === "dragover" && isPainting);
      if (type !== "drop" || !files.length) return;
      if (isPainting) addPaintings([...files]);
      else open(files[0]);
    });
  }
  for (const button of document.querySelectorAll("[data-save]")) {
    button.addEventListener("click", () => keep(button.dataset.save));
  }
}

/** @param {File} file */
function open(file) {
  if (file.type.startsWith("video/")) watch(() => openVideo(file), "Opening the video…");
  else take(file);
}

/**
 * Makes styles of paintings, each under the name of its file.
 *
 * @param {File[]} files
 */
async function addPaintings(files) {
  let mistake;
  adding = true;
  for (const file of files) {
    try {
      busy(`Looking at ${file.name}…`);
      const { name, thumbnail, pixels } = await readPainting(file, site.predictor.smallest);
      styles.add({ name, label: name, thumbnail, weights: await painter.predict(pixels) });
    } catch (error) {
      mistake = error;
    }
  }
  if (mistake) report(mistake);
  else if (live) say("Painting live.");
  else if (!photo) say("Now choose a photo.");
}

/**
 * Takes a photo to paint.
 *
 * @param {File | ImageBitmap | Promise<File>} given
 * @param {string} [name] for a bitmap; a file has its own
 * @param {import("./video.js").Source} [source] of the bitmap
 */
async function take(given, name, source) {
  const number = ++chosen;
  if (source) sought = number;
  try {
    busy("Opening the photo…");
    const file = await given;
    const opened = await read(file, site.previewSize, site.imageSize);
    if (number !== chosen) return;
    leave();
    openClip(source);
    photo = { ...opened, name: name ?? (file.name.replace(/\.[^.]*$/, "") || "photo") };
    shown = undefined;
    draw(photo.small, find("#picture"));
    listSizes();
    unveil();
    paint();
  } catch (error) {
    if (number === chosen) report(error);
  }
}

/**
 * Paints a camera or a video, from now until it is over.
 *
 * @param {() => Promise<import("./video.js").Source>} openSource
 * @param {string} sentence shown meanwhile
 */
async function watch(openSource, sentence) {
  const number = ++chosen;
  // Many phones open no second camera beside the first.
  leave();
  busy(sentence);
  let painting;
  try {
    const source = await openSource();
    if (number !== chosen) {
      if (source !== clip) source.close();
      return;
    }
    openClip(source);
    painting = live = new Live(source, site, how, drawFrame, tell);
    busy("Painting live…");
    unveil();
    label();
    listCameras(painting, source.camera).catch(console.debug);
    await painting.run();
    if (live === painting) await freeze(painting);
  } catch (error) {
    if (painting && live === painting) openClip();
    if (painting ? live === painting : number === chosen) giveUp(error);
  }

  function drawFrame(picture) {
    if (live === painting) draw(picture, find("#picture"));
  }
}

function how() {
  return { weights: styles.weights(), strokeSize: look.strokeSize(), strength: strength() };
}

/** The strength that was chosen; without a style, the photo stays as it is. */
function strength() {
  return styles.isEmpty ? 0 : look.strength();
}

/** Shows how fast moving pictures are painted. */
function tell(rate, { width, height }) {
  find("#rate").textContent = `${rate.toFixed(rate < 10 ? 1 : 0)} frames/s at ${width} × ${height}`;
  if (find("#rate").hidden) mention(recorder ? "Recording." : painted("Painting live."));
  find("#rate").hidden = false;
}

async function listCameras(painting, current) {
  const found = current ? await cameras() : [];
  if (live !== painting) return;
  find("#cameras").replaceChildren(...found.map(({ device, label }) => new Option(label, device, false, device === current)));
  find("#cameras").hidden = found.length < 2;
}

/** Ends moving pictures; the last one becomes a photo like any other. */
async function freeze(painting) {
  const { name } = painting;
  try {
    const picture = await painting.picture();
    if (live === painting) await take(picture, name, clip);
  } catch (error) {
    if (live === painting) giveUp(error);
  }
}

function playOrPause() {
  if (live) freeze(live);
  else watch(() => playAgain(clip), "Painting live…");
}

function seek() {
  if (!live) sought = chosen;
}

/** Paints the picture that a video shows that is not playing. */
async function paintSought() {
  if (live || sought !== chosen) return;
  const bitmap = await pictureOf(clip.video);
  if (sought === chosen) take(bitmap, clip.name, clip);
}

/** Closes the video file that is open, if it is not this source. */
function openClip(source) {
  if (clip !== source) clip?.close();
  clip = source?.isFile ? source : undefined;
  lay();
}

/** Ends moving pictures that cannot go on, and shows again what was shown before. */
function giveUp(error) {
  leave();
  if (photo) paint();
  else veil();
  report(error);
}

/** Ends moving pictures, if there are any. */
function leave() {
  if (recorder) keepClip();
  live?.close();
  live = undefined;
  find("#rate").hidden = find("#cameras").hidden = true;
  lay();
}

function record() {
  try {
    recorder = new Recorder(find("#picture"), live.video);
    say("Recording.");
    lay();
  } catch (error) {
    report(error);
  }
}

async function keepClip() {
  const ended = recorder;
  const name = fileName();
  recorder = undefined;
  lay();
  const { clip, extension } = await ended.stop();
  if (!clip.size) return report(new NoRecorder("The clip was too short to be saved."));
  download(clip, `${name}.${extension}`);
  if (live) say("Saved the clip.");
}

/** Shows the picture and its buttons in place of the invitation. */
function unveil() {
  const { activeElement } = document;
  find("#picture").hidden = find("#actions").hidden = false;
  find("#invitation").hidden = true;
  lay();
  // Where the styles come next for the keyboard, and nothing is changed by a key that is pressed again.
  if (find("#invitation").contains(activeElement)) find("#picture").focus();
}

function veil() {
  find("#picture").hidden = find("#actions").hidden = true;
  find("#invitation").hidden = false;
}

/** Shows the sizes that the photo can be saved in. */
function listSizes() {
  const { sizes } = photo;
  const words = ({ width, height }, k) => `${width} × ${height}, ${k < sizes.length - 1 ? "finer strokes" : "as shown"}`;
  find("#saved select").replaceChildren(...sizes.map((size, k) => new Option(words(size, k), k)));
}

/** Shows the buttons for photos, or those for moving pictures. */
function lay() {
  const { activeElement } = document;
  for (const button of find("#actions").querySelectorAll("[data-while]")) {
    button.hidden = (button.dataset.while === "live") !== Boolean(live);
  }
  find("#stop").hidden ||= Boolean(clip);
  find("#saved").hidden = Boolean(live) || !(photo?.sizes.length > 1);
  transport.show(clip?.video, Boolean(live));
  find("#record").classList.toggle("recording", Boolean(recorder));
  find("#record span").textContent = recorder ? "Save clip" : "Record";
  // If the button with the focus is hidden now, the first one that is not takes it.
  if (activeElement?.hidden) find("#actions button:not([hidden])").focus();
}

async function fetchExample() {
  const response = await fetch(site.example);
  return new File([await response.blob()], site.example);
}

function paint() {
  label();
  // Each moving picture asks for the styles anew.
  if (!photo || live) return;
  busy("Painting…");
  painter.paint(photo, styles.weights(), look.strokeSize());
}

function label() {
  const what = `The ${live ? "camera or video" : "photo"}`;
  find("#picture").setAttribute("aria-label", styles.isEmpty ? what : `${what} in the style of ${styles.words()}`);
}

function show(picture, finished) {
  shown = { picture, finished };
  if (live) return;
  redraw();
  if (finished) mention(painted(`Painted: ${picture.width} × ${picture.height} pixels.`));
}

/** What to say of a picture, or what is missing for it. */
function painted(words) {
  return styles.isEmpty ? "Now add a painting." : words;
}

function redraw() {
  if (shown && !live) draw(faded(shown.picture), find("#picture"));
}

/** A copy of the picture in the chosen strength. */
function faded(picture) {
  return fadedOver(picture.width === photo.large.width ? photo.large : photo.small, picture);
}

function fadedOver(original, picture) {
  const copy = new ImageData(picture.data.slice(), picture.width, picture.height);
  fade(original, copy, strength());
  return copy;
}

async function keep(type) {
  try {
    let canvas = find("#picture");
    let pass;
    if (!live) {
      const picture = await pictureToSave();
      if (!picture) return;
      canvas = document.createElement("canvas");
      draw(picture.pixels, canvas);
      pass = picture.pass;
    }
    const { width, height } = canvas;
    await save(canvas, type, fileName());
    const smaller = pass ? ` It was painted at ${pass.width} × ${pass.height}, as there is no memory for more.` : "";
    say(`Saved: ${width} × ${height} pixels.${smaller}`);
  } catch (error) {
    report(error);
  }
}

/** The picture of the photo in the size that was chosen, and the size that it was painted at if memory made that smaller. */
async function pictureToSave() {
  const { sizes } = photo;
  const size = sizes[find("#saved select").selectedIndex];
  if (size === sizes.at(-1)) {
    busy("Painting…");
    const picture = await painter.picture();
    return picture && { pixels: faded(picture) };
  }
  busy(`Painting ${size.width} × ${size.height} pixels, which can take minutes…`);
  const found = await painter.large(size);
  return found && { pixels: fadedOver(found.original, found.picture), pass: found.pass };
}

/** The name of a file to save, without its extension. */
function fileName() {
  return [(live ?? photo).name, styles.fileName()].filter(Boolean).join("-");
}

function busy(sentence) {
  say(sentence);
  find("#progress").hidden = false;
}

/** Shows a sentence, unless an error is shown. */
function mention(sentence) {
  if (!find("#status").classList.contains("error")) say(sentence);
}

function say(sentence, isError = false) {
  find("#progress").hidden = true;
  find("#status").classList.toggle("error", isError);
  if (find("#status").textContent !== sentence) find("#status").textContent = sentence;
}

function report(error) {
  console.debug(error);
  say(sentence(error), true);
}

function sentence(error) {
  if (error instanceof NoVideo || error instanceof NoRecorder || error instanceof NoPainting) return error.message;
  if (error instanceof NotAPhoto) return "This file is not a photo that the browser can open.";
  if (/fetch|network|load failed|importScripts|imported module/i.test(error.message)) {
    return "The painter could not be loaded: check the connection, and reload the page.";
  }
  if (/memory|alloc|prepare|tensor_buffer|out of bounds|abort|RangeError/i.test(error.message)) {
    return "There is not enough memory for a picture of this size.";
  }
  return `The photo could not be painted (${error.message}).`;
}
