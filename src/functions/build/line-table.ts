/**
 * Which line of which source a line of a bundle comes from, small enough to travel with each isolate: stacks name what the author wrote. A source map (version 3) says it of every word and is
 * as large as the code; bundles keep the order of lines, so runs of them are enough. Read by providers/isolates/stack-source.ts.
 */

/** What of a source map is needed. */
export type SourceMap = { readonly sources: readonly string[]; readonly mappings: string };

/**
 * `runs`: line of the bundle, number of the source, line in it; each true of the lines after it too, up to the next. Lines count from 1. The source -1 is nobody's: frames in it are left out.
 * Written as steps from the run before (the first from 0,0,0) in base 36, "1,0,a;2,,3"; nothing stands for 0.
 */
export type LineTable = {
  /** The module that it is about. */
  readonly file: string;
  readonly sources: readonly string[];
  readonly runs: string;
};

type Run = readonly [line: number, source: number, sourceLine: number];

const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** The table of a map. Of a source that `isOurs` no line is named. */
export function lineTableOf(file: string, map: SourceMap, isOurs: (source: string) => boolean): LineTable {
  const named = map.sources.filter((source) => !isOurs(source));
  const numbers = map.sources.map((source) => named.indexOf(source));
  const runs: Run[] = [];
  let [source, sourceLine] = [0, 0];
  for (const [index, line] of map.mappings.split(";").entries()) {
    let isFirst = true;
    for (const segment of line.split(",")) {
      const [, sourceStep, lineStep] = numbersIn(segment);
      if (sourceStep === undefined || lineStep === undefined) continue;
      source += sourceStep;
      sourceLine += lineStep;
      // Code of several lines may have become one: what begins it is named.
      if (isFirst) addRun(runs, [index + 1, numbers[source] ?? -1, sourceLine + 1]);
      isFirst = false;
    }
  }
  return { file, sources: named, runs: stepsOf(runs) };
}

function stepsOf(runs: readonly Run[]): string {
  const step = (now: number, before: number) => (now === before ? "" : (now - before).toString(36));
  const steps = runs.map((run, index) => {
    const before = runs[index - 1] ?? [0, 0, 0];
    return [step(run[0], before[0]), step(run[1], before[1]), step(run[2], before[2])].join(",");
  });
  return steps.join(";");
}

function addRun(runs: Run[], [line, source, sourceLine]: Run): void {
  const last = runs.at(-1);
  const isKnown = last?.[1] === source && (source < 0 || sourceLine - line === last[2] - last[0]);
  if (!isKnown) runs.push([line, source, source < 0 ? 0 : sourceLine]);
}

/** Base 64 VLQ, as source maps have it: five bits a digit, the sixth says that there are more, the lowest of the number is its sign. */
function numbersIn(segment: string): readonly number[] {
  const found: number[] = [];
  let [value, shift] = [0, 0];
  for (const letter of segment) {
    const digit = digits.indexOf(letter);
    value += (digit & 31) << shift;
    shift += 5;
    if (digit & 32) continue;
    found.push(value & 1 ? -(value >> 1) : value >> 1);
    [value, shift] = [0, 0];
  }
  return found;
}
