/**
 * All connecters, by resource and subresource.
 */
import type { Connecter } from "#apiserver/server/connecter.ts";
import { createContainerConnecter } from "./container-connecter.ts";
import { createLogConnecter } from "./log-connecter.ts";
import type { ConnectParts } from "./node-access.ts";
import { createProxyConnecter } from "./proxy-connecter.ts";

/** Makes the table for the API server. */
export function createConnecters(parts: ConnectParts): ReadonlyMap<string, Connecter> {
  return new Map([
    ["pods/exec", createContainerConnecter(parts, "exec")],
    ["pods/attach", createContainerConnecter(parts, "attach")],
    ["pods/portforward", createContainerConnecter(parts, "portforward")],
    ["pods/log", createLogConnecter(parts)],
    ["pods/proxy", createProxyConnecter(parts, "pods")],
    ["services/proxy", createProxyConnecter(parts, "services")],
    ["nodes/proxy", createProxyConnecter(parts, "nodes")],
  ]);
}
