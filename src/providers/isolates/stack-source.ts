/**
 * Stacks that name what the author wrote, as source text: a bundle that brings a table of lines (functions/build/line-table.ts) has the frames of its one module shown with file and line of their
 * sources, and ours left out. It is looked at when a stack is, which is when somebody logs an error.
 */

/** The file of a bundle that has the table; it is no module. */
export const linesFile = "nodeless-lines.json";
/** Name of the module with the table's text. */
export const linesName = "nodeless-lines.txt";

/** `tableOf(text)` reads a table; `sourced(text, table)`: stack frames, a line each, in the sources' places. */
const sourcedSource = `
  const tableOf = (text) => {
    const { runs, ...table } = JSON.parse(text);
    let run = [0, 0, 0];
    const read = (steps) => (run = steps.split(",").map((step, index) => run[index] + parseInt(step || "0", 36)));
    return { ...table, runs: runs.split(";").map(read) };
  };
  const sourced = (text, { file, sources, runs }) => {
    const shown = [];
    for (const line of text.split("\\n")) {
      let isOurs = /\\((nodeless-entry|loader)\\.js:/.test(line);
      const named = line.replace(/(^|[\\s(])([^\\s():]+):(\\d+)(?::\\d+)?(?=\\)?$)/, (all, before, name, at) => {
        const run = name === file ? runs.findLast(([from]) => from <= at) : undefined;
        if (!run) return all;
        const [from, source, first] = run;
        isOurs ||= source < 0;
        return before + sources[source] + ":" + (first + (at - from));
      });
      if (!isOurs) shown.push(named);
    }
    return shown.join("\\n");
  };`;

/** A module that comes before the pod's first. Whatever is wrong with a table, a stack can be had. */
export const stackSource: string = `
  import text from "./${linesName}";
  ${sourcedSource}
  let table;
  Error.prepareStackTrace = (error, sites) => {
    let head = "Error";
    try { head = String(error); } catch {}
    const frames = sites.map((site) => "    at " + site).join("\\n");
    try {
      table ??= tableOf(text);
      const named = frames && sourced(frames, table);
      return named ? head + "\\n" + named : head;
    } catch {
      return frames ? head + "\\n" + frames : head;
    }
  };`;

/** `inSources(text, lines)`, for loaders: what the engine says of code that does not load. */
export const inSourcesSource: string = `
  ${sourcedSource}
  const inSources = (text, lines) => {
    try {
      return lines ? sourced(text, tableOf(lines)) : text;
    } catch {
      return text;
    }
  };`;
