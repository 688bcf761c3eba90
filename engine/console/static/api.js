// The console's API. Who is not signed in any more is led to the door.

export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

const KEPT_MAX = 30;
const kept = new Map(); // the last answers, so that what has not changed is not sent again: {tag, document} by path
let signedOut = () => {};
export const onSignedOut = (callback) => { signedOut = callback; };

async function call(method, path, body) {
  let response;
  const known = method === "GET" ? kept.get(path) : undefined;
  try {
    response = await fetch("/api/v1" + path, {
      method,
      headers: { ...(body && { "Content-Type": "application/json" }), ...(known && { "If-None-Match": known.tag }) },
      body: body ? JSON.stringify(body) : undefined,
    });
  } catch {
    throw new Problem(0, "The console does not answer. It is tried again.");
  }
  if (response.status === 204) return null;
  if (response.status === 304) return known.document;
  const document = await response.json().catch(() => ({}));
  if (response.ok) return keep(path, response.headers.get("ETag"), document);
  if (response.status === 401 && path !== "/session") {
    kept.clear();
    signedOut();
  }
  throw new Problem(response.status, document.detail ?? `The console says ${response.status}.`);
}

function keep(path, tag, document) {
  kept.delete(path);
  if (tag) kept.set(path, { tag, document });
  if (kept.size > KEPT_MAX) kept.delete(kept.keys().next().value);
  return document;
}

/** A document; the same object as before when it has not changed. */
export const get = (path, parameters = {}) => {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== "" && value !== null && value !== undefined));
  return call("GET", path + (query.size ? `?${query}` : ""));
};
export const post = (path, body) => call("POST", path, body);
export const signIn = (key) => call("POST", "/session", { key });
export const signOut = () => call("DELETE", "/session");
