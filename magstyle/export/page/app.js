/** The page: a photo in, a picture out, and what people read meanwhile. */

import "./site.js";
import { goOffline } from "./offline.js";
import { Painter } from "./painter.js";
import { NotAPhoto, draw, read, save } from "./photo.js";
import { Styles } from "./styles.js";

const site = self.SITE;
const find = (selector) => document.querySelector(selector);
const styles = new Styles(site.styles, paint);
const painter = new Painter(site, show, report);
let photo;
let photoName;
// How many photos were chosen. The last one is shown, whichever is decoded first.
let chosen = 0;

listen();
await goOffline(() => !photo);
await open();

async function open() {
  if (typeof WebAssembly !== "object") {
    say("This browser has no WebAssembly, without which the page cannot paint.", true);
    return;
  }
  try {
    busy("Loading…");
    // The large model too, so that all is there when the network is gone.
    await Promise.all([painter.open(), fetch(site.picture.file)]);
    if (!photo) say("Ready.");
  } catch (error) {
    report(error);
  }
}

function listen() {
  for (const input of [find("#file"), find("#camera")]) {
    input.addEventListener("change", () => {
      if (input.files.length) take(input.files[0]);
      input.value = ""; // So that the same photo can be chosen again.
    });
  }
  for (const button of document.querySelectorAll("[data-open]")) {
    button.addEventListener("click", () => document.getElementById(button.dataset.open).click());
  }
  find("#example").addEventListener("click", () => take(fetchExample()));
  document.addEventListener("paste", ({ clipboardData }) => {
    if (clipboardData.files.length) take(clipboardData.files[0]);
  });
  for (const type of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(type, (event) => {
      event.preventDefault();
      find("#stage").classList.toggle("target", type === "dragover");
      if (type === "drop" && event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
    });
  }
  for (const button of document.querySelectorAll("[data-save]")) {
    button.addEventListener("click", () => keep(button.dataset.save));
  }
}

/** @param {File | Promise<File>} given */
async function take(given) {
  const number = ++chosen;
  try {
    busy("Opening the photo…");
    const file = await given;
    const opened = await read(file, site.preview.size, site.picture.size);
    if (number !== chosen) return;
    photo = opened;
    photoName = file.name?.replace(/\.[^.]*$/, "") || "photo";
    draw(photo.small, find("#picture"));
    unveil();
    paint();
  } catch (error) {
    if (number === chosen) report(error);
  }
}

/** Shows the picture and what can be done with it, in place of the invitation. */
function unveil() {
  const { activeElement } = document;
  find("#picture").hidden = find("#actions").hidden = false;
  find("#invitation").hidden = true;
  // The styles come next for the keyboard too.
  if (find("#invitation").contains(activeElement)) find("#tiles :checked").focus();
}

async function fetchExample() {
  const response = await fetch(site.example);
  return new File([await response.blob()], site.example);
}

function paint() {
  if (!photo) return;
  busy("Painting…");
  find("#picture").setAttribute("aria-label", `The photo in the style of ${styles.words()}`);
  painter.paint(photo, styles.weights());
}

function show(picture, finished) {
  draw(picture, find("#picture"));
  if (finished) say(`Painted: ${picture.width} × ${picture.height} pixels.`);
}

async function keep(type) {
  try {
    busy("Painting in full size…");
    const picture = await painter.picture();
    if (!picture) return;
    await save(picture, type, `${photoName}-${styles.fileName()}`);
    say(`Saved: ${picture.width} × ${picture.height} pixels.`);
  } catch (error) {
    report(error);
  }
}

function busy(sentence) {
  say(sentence);
  find("#progress").hidden = false;
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
  if (error instanceof NotAPhoto) return "This file is not a photo that the browser can open.";
  if (/fetch|network|load failed|importScripts|imported module/i.test(error.message)) {
    return "The painter could not be loaded: check the connection, and reload the page.";
  }
  if (/memory|alloc|prepare|out of bounds|abort|RangeError/i.test(error.message)) {
    return "There is not enough memory for a picture of this size.";
  }
  return `The photo could not be painted (${error.message}).`;
}
