// What the browser stores for this page. A browser that stores nothing (it blocks cookies, or is full) causes no errors.

function safely(act) {
  try {
    return act();
  } catch {
    return null;
  }
}

const keeping = (name) => ({
  get: (key) => safely(() => window[name].getItem(key)),
  put: (key, text) => safely(() => window[name].setItem(key, text)),
  remove: (key) => safely(() => window[name].removeItem(key)),
  keys: () => safely(() => Object.keys(window[name])) ?? [],
});

export const tab = keeping("sessionStorage");
export const browser = keeping("localStorage");
