/** Figures and names as people read them. */

/** A time in microseconds: `3.2 ms`, `1.25 s`, `2 min 05 s`. */
export function time(us: number): string {
  const size = Math.abs(us);
  if (size < 0.5) return "0 s";
  if (size < 1000) return `${us.toFixed(0)} µs`;
  if (size < 1e6) return `${digits(us / 1e3)} ms`;
  if (size < 120e6) return `${digits(us / 1e6)} s`;
  const seconds = Math.round(us / 1e6);
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  const rest = String(seconds % 60).padStart(2, "0");
  return hours > 0 ? `${hours} h ${String(minutes).padStart(2, "0")} min` : `${minutes} min ${rest} s`;
}

/** A moment on an axis of which `step` microseconds lie between two marks. */
export function moment(us: number, step: number): string {
  if (step >= 1e5 && us >= 120e6) return time(us);
  // In a long recording, a moment in milliseconds would be a number of nine digits.
  const [unit, name] = step >= 1e5 || us >= 10e6 ? [1e6, "s"] : step >= 100 ? [1e3, "ms"] : [1, "µs"];
  const most = Math.min(Math.max(Math.ceil(Math.log10(unit / Math.max(step, 1))), 0) + 1, 6);
  return `${(us / unit).toLocaleString("en", { maximumFractionDigits: most, useGrouping: false })} ${name}`;
}

/** Three digits that say something. */
function digits(value: number): string {
  const size = Math.abs(value);
  return value.toFixed(size < 10 ? 2 : size < 100 ? 1 : 0);
}

/** A share: `7 %`, `0.3 %`. */
export function share(value: number): string {
  const percent = value * 100;
  return `${percent > 0 && percent < 9.95 ? percent.toFixed(1) : percent.toFixed(0)} %`;
}

/** At most so many characters, the rest an ellipsis. */
export function cut(text: string, most: number): string {
  const chars = [...text];
  return chars.length > most ? `${chars.slice(0, most - 1).join("")}…` : text;
}
