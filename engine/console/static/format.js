// Numbers and times as people read them. Money is text, because a number here cannot hold every amount.

const whole = new Intl.NumberFormat("en");

export const count = (value) => (value === null || value === undefined ? "-" : whole.format(value));

/** "1234.50" as "1,234.50". */
export function money(text) {
  if (text === null || text === undefined) return "-";
  const [digits, cents] = text.replace("-", "").split(".");
  return (text.startsWith("-") ? "\u2212" : "") + digits.replace(/\B(?=(\d{3})+(?!\d))/g, ",") + "." + cents;
}

/** Milliseconds: "850 us", "1.9 ms", "2.4 s". */
export function duration(ms) {
  if (ms === null || ms === undefined) return "-";
  if (ms < 1) return `${Math.round(ms * 1000)} \u00b5s`;
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60000) return `${(ms / 1000).toFixed(1)} s`;
  return age(ms / 1000);
}

/** Seconds: "3 s", "4 min", "2 h", "3 days". */
export function age(seconds) {
  if (seconds === null || seconds === undefined) return "-";
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

export const rate = (value) => (value === null || value === undefined ? "-" : value < 100 ? value.toFixed(1) : whole.format(Math.round(value)));

/** "2026-11-27T14:30:05.123Z" as "27 Nov 14:30:05.123" of UTC; the year where it is another one. */
export function moment(iso) {
  if (!iso) return "-";
  const at = new Date(iso);
  const year = at.getUTCFullYear() === new Date().getUTCFullYear() ? "" : ` ${at.getUTCFullYear()}`;
  const month = at.toLocaleString("en", { month: "short", timeZone: "UTC" });
  const ms = String(at.getUTCMilliseconds()).padStart(3, "0");
  return `${at.getUTCDate()} ${month}${year} ${iso.slice(11, 19)}${iso.includes(".") ? "." + ms : ""}`;
}

/** Seconds since 1970 as "27 Nov" of UTC. */
export const day = (seconds) => new Date(seconds * 1000).toLocaleString("en", { day: "numeric", month: "short", timeZone: "UTC" });

/** The milliseconds from one ISO time to another. */
export const between = (from, to) => (from && to ? new Date(to) - new Date(from) : null);
