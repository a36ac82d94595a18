/**
 * What `nodeless fn` asks of this machine: a cluster that runs Functions, a place for sources, the way to a function's address.
 */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hasReason } from "#apimachinery/status-error.ts";
import { UserError } from "#cli/command.ts";
import { functions } from "#api/nodeless/function.ts";
import type { FunctionTools } from "#cli/functions/function-tools.ts";
import type { Terminal } from "#cli/terminal.ts";
import { createClient } from "#client/rest-client.ts";
import { findCluster, getCluster, inStage, type MachineContext } from "#cmd/machine/clusters.ts";
import { connectAsAdministrator } from "#cmd/machine/connect.ts";
import { controlPlaneSocket } from "#cmd/machine/layout.ts";
import { askPeer } from "#cmd/machine/supervision.ts";
import { templateFiles } from "#functions/templates/templates.ts";
import { askFunction, requestAddress } from "./ask-function.ts";

const servedTimeoutMs = 60_000;
const lookAgainMs = 100;

/** The tools of this machine; what a command does not need is not loaded. */
export function functionTools(context: MachineContext): FunctionTools {
  return {
    ensureFunctions: (cluster, terminal) => ensureFunctions(context, cluster, terminal),
    writeTemplate: (folder, { name, runtime, isForEvents }) =>
      writeFiles(folder, templateFiles(name, runtime, isForEvents)),
    async checkSource(folder, wanted) {
      const { checkSource } = await import("./check-source.ts");
      await checkSource(folder, wanted);
    },
    async pushSource(cluster, source) {
      const { pushSource } = await import("./push-source.ts");
      return await pushSource(getCluster(context, cluster), source);
    },
    requestAddress: (cluster) => requestAddress(context, cluster),
    ask: (cluster, request) => askFunction(context, cluster, request),
    async develop(options, terminal) {
      const { developFunction } = await import("./develop-function.ts");
      await developFunction(options, terminal);
    },
  };
}

async function ensureFunctions(context: MachineContext, name: string, terminal: Terminal): Promise<void> {
  const cluster = findCluster(context, name);
  const isUp = cluster !== undefined && (await askPeer(controlPlaneSocket(cluster.layout))) !== undefined;
  if (!isUp || cluster.record.hasServing !== true) {
    const { bringUp } = await import("#cmd/machine/up.ts");
    const options = { name, serving: true, foreground: false, boot: false, timeoutSeconds: 300 };
    const { notes } = await bringUp(context, options, terminal);
    for (const note of notes) terminal.print(note);
  }
  await untilServed(context, name, terminal);
}

/** A new cluster has the kind from its first moment; one of an earlier edition, and one that is only now to have it, gets it a moment after its start. */
async function untilServed(context: MachineContext, name: string, terminal: Terminal): Promise<void> {
  const transport = connectAsAdministrator(getCluster(context, name));
  const client = createClient(transport);
  // Its definition is there a moment before the kind is.
  const isServed = async () => {
    try {
      await client.list({ resource: functions, namespace: "default" }, { limit: 1 });
      return true;
    } catch (error) {
      if (hasReason(error, "NotFound")) return false;
      throw error;
    }
  };
  try {
    if (await isServed()) return;
    await inStage(terminal, "Knative Serving and Functions", async () => {
      const until = Date.now() + servedTimeoutMs;
      while (!(await isServed())) {
        if (Date.now() > until)
          throw new UserError(`cluster "${name}" does not serve Functions: its control plane's log says why`);
        await new Promise((resolve) => setTimeout(resolve, lookAgainMs));
      }
    });
  } finally {
    await transport.close();
  }
}

function writeFiles(folder: string, files: Readonly<Record<string, string>>): readonly string[] {
  const names = Object.keys(files);
  const taken = names.find((name) => existsSync(join(folder, name)));
  if (taken !== undefined) throw new UserError(`${join(folder, taken)} is there already`);
  mkdirSync(folder, { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text, { flag: "wx" });
  return names;
}
