/**
 * Manifests for an emulated processor, which is ten to thirty times slower than a real one: a probe's second would be over before a healthy program has answered,
 * and liveness probes would end it for ever.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isSeq, parseAllDocuments } from "yaml";

const at = ["spec", "template", "spec", "containers"];
const probes = ["startupProbe", "readinessProbe", "livenessProbe"];

/** Gives each probe in the YAML files of a folder 30 s to answer, and 60 tries. */
export function makeProbesPatient(folder: string): void {
  for (const name of readdirSync(folder).filter((file) => file.endsWith(".yaml"))) {
    const path = join(folder, name);
    const documents = parseAllDocuments(readFileSync(path, "utf8"));
    for (const document of documents) {
      const containers = document.getIn(at);
      const count = isSeq(containers) ? containers.items.length : 0;
      for (let index = 0; index < count; index += 1)
        for (const probe of probes) {
          if (!document.hasIn([...at, index, probe])) continue;
          document.setIn([...at, index, probe, "timeoutSeconds"], 30);
          document.setIn([...at, index, probe, "failureThreshold"], 60);
        }
    }
    writeFileSync(path, documents.map(String).join(""));
  }
}
