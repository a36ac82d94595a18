/**
 * /healthz, /livez, /readyz: "ok", or which check failed. `?verbose` shows all, `?exclude=NAME` leaves one out, `/readyz/NAME` asks one. As apiserver's pkg/server/healthz.
 */
import type { ApiResult, RequestContext } from "#apiserver/api-request.ts";
import type { NonResourceHandler } from "./non-resource.ts";

/** One check. Gives undefined when all is well, else what is wrong. */
export type HealthCheck = {
  readonly name: string;
  /** Which of the three ask it. */
  readonly endpoints: readonly ("healthz" | "livez" | "readyz")[];
  readonly check: () => string | undefined;
};

const PATH = /^\/(healthz|livez|readyz)(?:\/(.+))?$/;

/** Serves the health endpoints. */
export function createHealthHandler(checks: readonly HealthCheck[]): NonResourceHandler {
  return {
    handle({ info, request }: RequestContext): ApiResult | undefined {
      const match = PATH.exec(info.path);
      if (match === null) return undefined;
      const [, endpoint = "", only] = match;
      const wanted = checks.filter((check) => (check.endpoints as readonly string[]).includes(endpoint));
      if (only !== undefined) {
        const one = wanted.find((check) => check.name === only);
        return one && reportOne(one);
      }
      return report(endpoint, wanted, request.query.getAll("exclude"), request.query.get("verbose") !== undefined);
    },
  };
}

function reportOne({ check }: HealthCheck): ApiResult {
  const problem = check();
  return problem === undefined ? text(200, "ok") : text(500, `internal server error: ${problem}\n`);
}

function report(
  endpoint: string,
  checks: readonly HealthCheck[],
  excluded: readonly string[],
  isVerbose: boolean,
): ApiResult {
  const lines: string[] = [];
  let hasFailed = false;
  for (const { name, check } of checks) {
    const problem = excluded.includes(name) ? undefined : check();
    if (excluded.includes(name)) lines.push(`[+]${name} excluded: ok`);
    else if (problem === undefined) lines.push(`[+]${name} ok`);
    else lines.push(`[-]${name} failed: reason withheld`);
    hasFailed ||= problem !== undefined;
  }
  const unknown = [...new Set(excluded)].filter((name) => !checks.some((check) => check.name === name)).sort();
  if (unknown.length > 0) {
    const names = unknown.map((name) => JSON.stringify(name)).join(",");
    lines.push(`warn: some health checks cannot be excluded: no matches for ${names}`);
  }
  if (hasFailed) return text(500, `${lines.join("\n")}\n${endpoint} check failed\n`);
  return text(200, isVerbose ? `${lines.join("\n")}\n${endpoint} check passed\n` : "ok");
}

function text(status: number, body: string): ApiResult {
  return {
    type: "bytes",
    status,
    contentType: "text/plain; charset=utf-8",
    body,
    headers: { "x-content-type-options": "nosniff" },
  };
}
