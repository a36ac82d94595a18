/**
 * /etc/hosts, /etc/hostname and /etc/resolv.conf of a pod's containers. Contents as kubelet_pods.go managedHostsFileContent and pkg/kubelet/network/dns.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Container, HostAlias, Pod } from "#api/generated/types/core-v1.ts";
import type { ContainerMount } from "#kubelet/container-runtime.ts";
import { refOf } from "#kubelet/pod-object.ts";
import type { EngineNode } from "./engine-parts.ts";
import type { KubeletFolders } from "./pod-folders.ts";
import { podFolder } from "./pod-folders.ts";
import { podHostname } from "./sandbox-spec.ts";

const hostsHeader = "# Kubernetes-managed hosts file.\n";
const hostNetworkHeader = "# Kubernetes-managed hosts file (host network).\n";
const localNames = [
  "127.0.0.1\tlocalhost",
  "::1\tlocalhost ip6-localhost ip6-loopback",
  "fe00::0\tip6-localnet",
  "fe00::0\tip6-mcastprefix",
  "fe00::1\tip6-allnodes",
  "fe00::2\tip6-allrouters",
  "",
].join("\n");
/** Bounds of the resolver: more are cut off. */
const maxServers = 3;
const maxSearches = 32;
const maxSearchLength = 2048;

/** Writes the three files; synchronous, as pod-record.ts and for its reason. Called again when the pod's addresses changed. */
export function writeEtcFiles(folders: KubeletFolders, pod: Pod, podIPs: readonly string[], node: EngineNode): void {
  const folder = podFolder(folders, refOf(pod).uid);
  const { hostname } = podHostname(pod, node.clusterDomain);
  const nodeHosts = pod.spec?.hostNetwork ? readText("/etc/hosts", localNames) : "";
  const files = {
    "etc-hosts": hostsFile(pod, podIPs, node.clusterDomain, nodeHosts),
    hostname: `${hostname}\n`,
    "resolv.conf": resolvConf(pod, node, readText(node.resolvConf, "")),
  };
  mkdirSync(folder, { recursive: true, mode: 0o750 });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text, { mode: 0o644 });
}

function readText(path: string, otherwise: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return otherwise;
  }
}

/** Mounts of the files, where the container does not mount something of its own there. */
export function etcMounts(folders: KubeletFolders, pod: Pod, container: Container): readonly ContainerMount[] {
  const folder = podFolder(folders, refOf(pod).uid);
  const taken = new Set((container.volumeMounts ?? []).map((mount) => mount.mountPath));
  const files = { "/etc/hosts": "etc-hosts", "/etc/hostname": "hostname", "/etc/resolv.conf": "resolv.conf" };
  const readOnly = container.securityContext?.readOnlyRootFilesystem ?? false;
  return Object.entries(files)
    .filter(([containerPath]) => !taken.has(containerPath))
    .map(([containerPath, name]) => ({ hostPath: join(folder, name), containerPath, readOnly, propagation: "None" }));
}

/** The text of /etc/hosts. `nodeHosts` is the node's own file, for pods on the host's network. */
export function hostsFile(pod: Pod, podIPs: readonly string[], clusterDomain: string, nodeHosts: string): string {
  const aliases = aliasLines(pod.spec?.hostAliases ?? []);
  if (pod.spec?.hostNetwork) return `${hostNetworkHeader}${nodeHosts}${aliases}`;
  const { hostname, domain } = podHostname(pod, clusterDomain);
  const names = domain === "" ? hostname : `${hostname}.${domain}\t${hostname}`;
  return `${hostsHeader}${localNames}${podIPs.map((ip) => `${ip}\t${names}\n`).join("")}${aliases}`;
}

/** The text of /etc/resolv.conf by dnsPolicy and dnsConfig. */
export function resolvConf(
  pod: Pod,
  node: Pick<EngineNode, "clusterDns" | "clusterDomain">,
  nodeResolver: string,
): string {
  const own = pod.spec?.dnsConfig ?? {};
  const base = baseResolver(pod, node, parseResolver(nodeResolver));
  const servers = unique([...base.servers, ...(own.nameservers ?? [])]).slice(0, maxServers);
  const searches = withinLength(unique([...base.searches, ...(own.searches ?? [])]).slice(0, maxSearches));
  const named = (own.options ?? []).map(
    (it) => [it.name ?? "", it.value ? `${it.name}:${it.value}` : (it.name ?? "")] as const,
  );
  const options = new Map([...base.options.map((it) => [it.split(":")[0] ?? it, it] as const), ...named]);
  return [
    ...(searches.length === 0 ? [] : [`search ${searches.join(" ")}`]),
    ...servers.map((server) => `nameserver ${server}`),
    ...(options.size === 0 ? [] : [`options ${[...options.values()].join(" ")}`]),
    "",
  ].join("\n");
}

type Resolver = {
  readonly servers: readonly string[];
  readonly searches: readonly string[];
  readonly options: readonly string[];
};

function baseResolver(pod: Pod, node: Pick<EngineNode, "clusterDns" | "clusterDomain">, host: Resolver): Resolver {
  const policy = pod.spec?.dnsPolicy ?? "ClusterFirst";
  if (policy === "None") return { servers: [], searches: [], options: [] };
  const isHostFirst = policy === "Default" || (policy === "ClusterFirst" && pod.spec?.hostNetwork === true);
  if (isHostFirst || node.clusterDns.length === 0) return host;
  const domain = node.clusterDomain;
  const cluster = domain === "" ? [] : [`${pod.metadata?.namespace ?? ""}.svc.${domain}`, `svc.${domain}`, domain];
  return { servers: node.clusterDns, searches: [...cluster, ...host.searches], options: ["ndots:5"] };
}

function parseResolver(text: string): Resolver {
  const lines = text.split("\n").map((line) => line.trim().split(/\s+/));
  const last = (word: string) => lines.findLast(([first]) => first === word)?.slice(1) ?? [];
  return {
    servers: lines.filter(([word, server]) => word === "nameserver" && server).map(([, server]) => server as string),
    searches: last("search").filter((domain) => domain !== "."),
    options: lines.filter(([word]) => word === "options").flatMap(([, ...options]) => options),
  };
}

function withinLength(searches: readonly string[]): readonly string[] {
  let length = -1;
  return searches.filter((search) => (length += search.length + 1) <= maxSearchLength);
}

function aliasLines(aliases: readonly HostAlias[]): string {
  if (aliases.length === 0) return "";
  const lines = aliases.map(({ ip, hostnames }) => `${ip}\t${(hostnames ?? []).join("\t")}\n`);
  return `\n# Entries added by HostAliases.\n${lines.join("")}`;
}

function unique(list: readonly string[]): readonly string[] {
  return [...new Set(list)];
}
