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

/** What the groups of the expression matched in a text that it matches as a whole; undefined where it does not. Groups count from 1. */
export type CaptureReader = (text: string) => readonly (string | undefined)[] | undefined;

/** Throws on what is no RE2. */
export function compileCaptures(pattern: string): CaptureReader {
  const compiled = RE2JS.compile(pattern);
  return (text) => {
    const matcher = compiled.matcher(text);
    if (!matcher.matches()) return undefined;
    return Array.from({ length: matcher.groupCount() + 1 }, (_, group) => matcher.group(group) ?? undefined);
  };
}

export function isSafeRegex(pattern: string): boolean {
  try {
    RE2JS.compile(pattern);
    return true;
  } catch {
    return false;
  }
}
