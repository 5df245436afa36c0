/*
 * Serves the page from a cache that is named after its content. Small files are cached when it is installed; the LiteRT
 * files, and those of LiteRT.js that this browser needs, when the page first asks for them.
 */
"use strict";

importScripts("site.js");

const PREFIX = `magstyle ${self.registration.scope} `;
const CACHE = PREFIX + self.SITE.version;

self.addEventListener("install", (event) => event.waitUntil(install()));
self.addEventListener("activate", (event) => event.waitUntil(activate()));
self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method === "GET" && request.url.startsWith(self.registration.scope)) event.respondWith(respond(event));
});

async function install() {
  const cache = await caches.open(CACHE);
  const urls = [...self.SITE.small];
  for (const url of self.SITE.large) {
    // Files that were available offline must stay so in a new version.
    if (await caches.match(url)) urls.push(url);
  }
  await cache.addAll(urls.map((url) => new Request(url, { cache: "no-cache" })));
}

async function activate() {
  const old = (await caches.keys()).filter((name) => name.startsWith(PREFIX) && name !== CACHE);
  await Promise.all(old.map((name) => caches.delete(name)));
  await self.clients.claim();
}

async function respond(event) {
  const cache = await caches.open(CACHE);
  const url = event.request.mode === "navigate" ? "index.html" : event.request.url;
  let response = await cache.match(url, { ignoreSearch: true });
  if (!response) {
    response = await fetch(event.request);
    const path = event.request.url.slice(self.registration.scope.length);
    if (response.status === 200 && self.SITE.large.includes(path)) {
      event.waitUntil(cache.put(event.request, response.clone()));
    }
  }
  return isolated(response);
}

/** The response with the headers that browsers require for shared memory, which threads need. */
function isolated(response) {
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}
