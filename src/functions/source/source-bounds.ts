/**
 * How large a function's source may be.
 */

/** Most files of a source. */
export const mostSourceFiles = 50_000;

/** Most bytes of all files of a source together, unless configured otherwise. */
export const defaultMostSourceBytes: number = 128 * 1024 * 1024;
