/**
 * Regular expressions of whoever writes routes: RE2, whose time grows with the text and never explodes.
 */
import { RE2JS } from "re2js";

/** Whether the whole of `text` matches. */
export type WholeMatcher = (text: string) => boolean;

/** Throws on what is no RE2. */
export function compileRegex(pattern: string): WholeMatcher {
  const compiled = RE2JS.compile(pattern);
  return (text) => compiled.matches(text);
}

export function isSafeRegex(pattern: string): boolean {
  try {
    RE2JS.compile(pattern);
    return true;
  } catch {
    return false;
  }
}
