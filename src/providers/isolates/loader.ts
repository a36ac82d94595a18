/**
 * What runs in a cage before its pod is known: workerd with one worker of ours, which loads the pod's modules when the agent posts them to the control socket, and hands
 * every request at the pod's port to them. The pod's code runs in an isolate of its own and cannot see this one.
 */
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { loaderFunctions } from "./worker-sources.ts";

/** Names of the two sockets, which workerd inherits as descriptors 3 and 4. */
export const sockets = { pod: "pod", control: "control" } as const;

/** A module as workerd's loader takes it. */
export type ModuleContent =
  | { readonly js: string }
  | { readonly cjs: string }
  | { readonly text: string }
  | { readonly json: unknown }
  /** Base64. */
  | { readonly data: string }
  | { readonly wasm: string };

/** What is posted to the control socket. */
export type IsolateCode = {
  readonly compatibilityDate: string;
  readonly compatibilityFlags: readonly string[];
  /** Whether Node's timers are to be the global ones: worker-sources.ts. */
  readonly lazyTimers: boolean;
  readonly mainModule: string;
  /** Which lines of the main module come from where, as JSON: stack-source.ts. */
  readonly lines?: string;
  readonly modules: Readonly<Record<string, ModuleContent>>;
  readonly env: Readonly<Record<string, string>>;
  /** What the code may connect to: "public", "private", hosts, "*.example.com"; none: nothing. Absent: everything that the loader reaches. */
  readonly outbound?: { readonly allow: readonly string[] };
};

/** A program of ours for workerd, and the sockets it listens at: names, and which export answers there. */
export type LoaderProgram = {
  readonly source: string;
  readonly sockets: readonly { readonly name: string; readonly entrypoint: string | undefined }[];
};

/** One isolate. The code is kept because workerd may ask for it again. The stub is made anew for each request, as workerd binds it to one. */
export const loneLoader: LoaderProgram = {
  sockets: [
    { name: sockets.pod, entrypoint: undefined },
    { name: sockets.control, entrypoint: "control" },
  ],
  source: `${loaderFunctions}
  let code;
  const isolate = (env, context) => env.LOADER.get("pod", () => withOutbound(code, env, context));
  export default {
    // At the pod's port people may be sooner than the code.
    fetch: (request, env, context) =>
      code ? isolate(env, context).getEntrypoint().fetch(request) : new Response("no code yet", { status: 503 }),
  };
  export const control = {
    async fetch(request, env, context) {
      const posted = await request.json();
      if (!posted.modules) return new Response("waiting");
      code = workerOf(posted);
      try {
        await check(isolate(env, context), posted.mainModule);
        return new Response("ok");
      } catch (error) {
        console.error(inSources(error.stack ?? String(error), posted.lines));
        return new Response(inSources(String(error), posted.lines), { status: 422 });
      }
    },
  };
`,
};

/** What pods may reach that have a network of their own: other pods, Services, the internet and their own loopback, as from a container. No Unix sockets. */
export const reachableFromOwnNetwork: readonly string[] = ["public", "private", "local"];

/** Writes workerd's configuration in its binary form into a folder; gives its path. */
export async function compileConfiguration(options: {
  readonly program: LoaderProgram;
  readonly workerd: string;
  readonly compatibilityDate: string;
  readonly folder: string;
  /** What code may connect to: networks as workerd names them, and CIDRs. */
  readonly reachable: readonly string[];
}): Promise<string> {
  const text = join(options.folder, "loader.capnp");
  const binary = join(options.folder, "loader.bin");
  await writeFile(text, configurationText(options));
  const { stdout } = await promisify(execFile)(options.workerd, ["compile", "--config-only", text], {
    encoding: "buffer",
  });
  await writeFile(binary, stdout, { mode: 0o644 });
  return binary;
}

function configurationText(options: {
  readonly program: LoaderProgram;
  readonly compatibilityDate: string;
  readonly reachable: readonly string[];
}): string {
  const listening = options.program.sockets.map(({ name, entrypoint }) => {
    const exported = entrypoint === undefined ? "" : `, entrypoint = "${entrypoint}"`;
    return `(name = "${name}", address = "127.0.0.1:0", http = (), service = (name = "loader"${exported}))`;
  });
  const { reachable } = options;
  const isPublic = (network: string) => network === "public";
  // What isolates may be bound to that are not to reach everything.
  const networks: readonly (readonly [string, readonly string[]])[] = [
    ["reachable", reachable],
    ["public", reachable.filter(isPublic)],
    ["private", reachable.filter((network) => !isPublic(network))],
  ];
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "loader", worker = (
      modules = [(name = "loader.js", esModule = ${JSON.stringify(options.program.source)})],
      compatibilityDate = "${options.compatibilityDate}",
      bindings = [
        (name = "LOADER", workerLoader = ()),
        ${networks.map(([name]) => `(name = "${name.toUpperCase()}", service = "${name}")`).join(",\n        ")},
      ],
    )),
    ${[["internet", options.reachable] as const, ...networks].map(networkService).join(",\n    ")},
  ],
  sockets = [${listening.join(", ")}],
);
`;
}

function networkService([name, allow]: readonly [string, readonly string[]]): string {
  return `(name = "${name}", network = (allow = ${JSON.stringify(allow)}, tlsOptions = (trustBrowserCas = true)))`;
}
