/**
 * Takes the words that upstream gives to kinds and fields out of @kubernetes/client-node, whose generated classes carry them as comments. The bundle keeps them in
 * one small file, for `kubectl explain`; our sources hold none of them.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants } from "node:zlib";

/** Writes the file; gives the number of kinds. */
export function writeWords(target: string): number {
  const entry = dirname(fileURLToPath(import.meta.resolve("@kubernetes/client-node")));
  const models = join(entry, "gen/models");
  const words: Record<string, Record<string, string>> = {};
  for (const file of readdirSync(models).filter((name) => name.endsWith(".d.ts"))) {
    Object.assign(words, wordsOf(readFileSync(join(models, file), "utf8")));
  }
  const text = Buffer.from(JSON.stringify(words));
  const params = { [constants.BROTLI_PARAM_QUALITY]: 9, [constants.BROTLI_PARAM_SIZE_HINT]: text.length };
  writeFileSync(target, brotliCompressSync(text, { params }));
  return Object.keys(words).length;
}

/** The words of one declaration file, by class; "" is the class itself. */
export function wordsOf(source: string): Record<string, Record<string, string>> {
  const words: Record<string, Record<string, string>> = {};
  let fields: Record<string, string> | undefined;
  for (const [, comment = "", className, fieldName] of source.matchAll(
    /(?:\/\*\*((?:(?!\*\/)[^])*)\*\/\s*)?(?:export declare class (\w+)|^ {4}'([^']+)'\??:)/gm,
  )) {
    if (className !== undefined) {
      fields = {};
      words[className] = fields;
    }
    const text = wordsIn(comment);
    // Names that JavaScript keeps for itself have an underscore before them there.
    if (fields !== undefined && text !== "") fields[fieldName?.replace(/^_/, "") ?? ""] = text;
  }
  return words;
}

function wordsIn(comment: string): string {
  return comment
    .split("\n")
    .map((line) => line.replace(/^\s*\* ?/, ""))
    .join("\n")
    .trim()
    .replaceAll(/\\(['"\\])/g, "$1");
}
