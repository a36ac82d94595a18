/**
 * /version: what clients take for the server's version. The Kubernetes version whose behaviour this server follows.
 */
import type { ApiResult } from "#apiserver/api-request.ts";
import type { NonResourceHandler } from "./non-resource.ts";

/** Kubernetes' version as this server serves it. */
export const KUBERNETES_VERSION = { major: "1", minor: "36", gitVersion: "v1.36.3" } as const;

/** Serves /version. */
export function createVersionHandler(): NonResourceHandler {
  const body = JSON.stringify(
    {
      ...KUBERNETES_VERSION,
      emulationMajor: "1",
      emulationMinor: "36",
      minCompatibilityMajor: "1",
      minCompatibilityMinor: "35",
      gitCommit: "",
      gitTreeState: "",
      buildDate: "1970-01-01T00:00:00Z",
      goVersion: `node ${process.version}`,
      compiler: "v8",
      platform: `linux/${process.arch === "x64" ? "amd64" : process.arch}`,
    },
    undefined,
    2,
  );
  const result: ApiResult = { type: "bytes", status: 200, contentType: "application/json", body };
  return { handle: ({ info }) => (info.path === "/version" || info.path === "/version/" ? result : undefined) };
}
