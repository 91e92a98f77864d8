// Times on the page: ages and durations that count up, and clock times in the reader's time zone.

const UNITS = [[60, 1, "s"], [3600, 60, "min"], [86400, 3600, "h"], [14 * 86400, 86400, "d"]];

function ago(seconds) {
  if (seconds < 5) return "just now";
  const fit = UNITS.find(([limit]) => seconds < limit);
  return fit ? `${Math.floor(seconds / fit[1])} ${fit[2]} ago` : null;
}

function left(seconds) {
  const fit = UNITS.find(([limit]) => seconds < limit);
  return seconds <= 0 ? "now" : fit ? `in ${Math.ceil(seconds / fit[1])} ${fit[2]}` : null;
}

function took(ms) {
  if (ms < 59950) return `${(ms / 1000).toFixed(1)} s`;
  const whole = Math.floor(ms / 1000);
  for (const [size, unit, below, smaller] of [[86400, "d", 3600, "h"], [3600, "h", 60, "min"], [60, "min", 1, "s"]]) {
    if (whole >= size) {
      const rest = Math.floor((whole % size) / below);
      return `${Math.floor(whole / size)} ${unit}${rest ? ` ${rest} ${smaller}` : ""}`;
    }
  }
  return `${whole} s`;
}

function put(element, text) {
  if (text !== null && element.textContent !== text) element.textContent = text;
}

const two = (n) => String(n).padStart(2, "0");
const day = (at) => `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
const clock = (at) => `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;

export function nameZone() {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  for (const element of document.querySelectorAll("[data-zone]")) put(element, zone || "your time zone");
}

export function tick() {
  const now = Date.now();
  for (const element of document.querySelectorAll("time[datetime]")) {
    const at = new Date(element.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    const data = element.dataset;
    if ("ago" in data) put(element, ago((now - at) / 1000) ?? day(at));
    else if ("until" in data) put(element, left((at - now) / 1000) ?? `on ${day(at)}`);
    else if ("since" in data) put(element, took(Math.max(0, now - at)));
    else if ("clock" in data) put(element, clock(at));
    else if ("exact" in data) put(element, `${day(at)} ${clock(at)}`);
    if (!data.local) {
      data.local = "1";
      const local = `${day(at)} ${clock(at)}`;
      if (!element.title.startsWith(local)) element.title = `${local} (${element.title || element.dateTime})`;
    }
  }
}
