/**
 * What a new cluster begins with: what its API server would make by itself, and the kinds of parts that start later, so that they can be used from the first moment. tools/first-objects.ts makes the files when the program
 * is bundled. Where sources run as they are there are none, and everybody makes their own, as on clusters of an earlier edition.
 */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type ClusterRecord, hasEventing } from "#cmd/machine/cluster-record.ts";

/** The folder in the bundle. */
export const firstObjectsFolder = "first-objects";

/** Its files: every cluster's objects, those of Knative Serving with Functions and Repositories, those of Knative Eventing. */
export type FirstObjectsPart = "cluster" | "serving" | "eventing";

/** The objects of the parts that this cluster has, packed. */
export async function readFirstObjects(record: ClusterRecord): Promise<string> {
  const here = import.meta.dirname;
  const folder = [here, join(here, "..")]
    .map((each) => join(each, firstObjectsFolder))
    .find((each) => existsSync(each));
  if (folder === undefined) return "";
  const parts: FirstObjectsPart[] = ["cluster"];
  if (record.hasServing === true) parts.push("serving");
  if (hasEventing(record)) parts.push("eventing");
  return (await Promise.all(parts.map((part) => readFile(join(folder, part), "utf8")))).join("");
}
