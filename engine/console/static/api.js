// The console's API. Who is not signed in any more is led to the door.

export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

let signedOut = () => {};
export const onSignedOut = (callback) => { signedOut = callback; };

async function call(method, path, body) {
  let response;
  try {
    response = await fetch("/api/v1" + path, {
      method,
      headers: body ? { "Content-Type": "application/json" } : {},
      body: body ? JSON.stringify(body) : undefined,
    });
  } catch {
    throw new Problem(0, "The console does not answer. It is tried again.");
  }
  if (response.status === 204) return null;
  const document = await response.json().catch(() => ({}));
  if (response.ok) return document;
  if (response.status === 401 && path !== "/session") signedOut();
  throw new Problem(response.status, document.detail ?? `The console says ${response.status}.`);
}

export const get = (path, parameters = {}) => {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== "" && value !== null && value !== undefined));
  return call("GET", path + (query.size ? `?${query}` : ""));
};
export const post = (path, body) => call("POST", path, body);
export const signIn = (key) => call("POST", "/session", { key });
export const signOut = () => call("DELETE", "/session");
