/**
 * Defaults of pod specs, in pods and in templates. As pkg/apis/core/v1's defaults.go and the defaults that its types declare.
 */
import { parseQuantity } from "#apimachinery/quantity.ts";
import { ensureObject, itemsOf, setDefault, setTextDefault } from "#api/defaults.ts";
import type { Draft } from "#api/strategy.ts";
import { imageTag } from "./image-name.ts";

/** Fills in a template's spec; pods get more ({@link applyPodDefaults}). */
export function applyPodTemplateDefaults(template: Draft | undefined | null): void {
  if (template?.["spec"]) applyPodSpecDefaults(template["spec"] as Draft);
}

/** Fills in what pods and templates have in common. */
export function applyPodSpecDefaults(spec: Draft): void {
  setTextDefault(spec, "dnsPolicy", "ClusterFirst");
  setTextDefault(spec, "restartPolicy", "Always");
  setDefault(spec, "securityContext", {});
  setDefault(spec, "terminationGracePeriodSeconds", 30);
  setTextDefault(spec, "schedulerName", "default-scheduler");
  // The old name of the field lives on: both always say the same, the new one wins.
  const account = spec["serviceAccountName"] || spec["serviceAccount"];
  if (account) Object.assign(spec, { serviceAccountName: account, serviceAccount: account });
  for (const container of containersOf(spec)) applyContainerDefaults(container);
  for (const volume of itemsOf(spec["volumes"])) applyVolumeDefaults(volume);
  for (const resources of [spec["overhead"], spec["resources"]?.["limits"], spec["resources"]?.["requests"]])
    roundUpToMilli(resources);
}

/** Fills in what only pods have; after {@link applyPodSpecDefaults}. */
export function applyPodDefaults(spec: Draft): void {
  for (const container of [...itemsOf(spec["containers"]), ...itemsOf(spec["initContainers"])]) {
    const { resources } = container;
    if (resources?.limits) resources.requests = { ...resources.limits, ...resources.requests };
    if (spec["hostNetwork"] === true) {
      for (const port of itemsOf(container["ports"])) if (!port["hostPort"]) port["hostPort"] = port["containerPort"];
    }
  }
  const { resources } = spec;
  if (resources?.limits) resources.requests = { ...supported(resources.limits), ...resources.requests };
  setDefault(spec, "enableServiceLinks", true);
}

/** All containers of a pod spec: ordinary, init and ephemeral ones. */
export function containersOf(spec: Draft): readonly Draft[] {
  return [...itemsOf(spec["initContainers"]), ...itemsOf(spec["containers"]), ...itemsOf(spec["ephemeralContainers"])];
}

/** Rounds amounts up to a thousandth, the smallest that is kept. */
export function roundUpToMilli(resources: Draft | undefined | null): void {
  for (const [name, text] of Object.entries(resources ?? {})) {
    // Nearly all amounts are whole or "250m": only these forms can be finer.
    if (typeof text !== "string" || !/[nu]$|\.\d{3}\d|[eE]-/.test(text)) continue;
    const { nanos } = parseQuantity(text);
    const milli = (nanos + 999_999n) / 1_000_000n;
    if (resources) resources[name] = milli % 1000n === 0n ? `${milli / 1000n}` : `${milli}m`;
  }
}

function applyContainerDefaults(container: Draft): void {
  if (!container["imagePullPolicy"]) {
    container["imagePullPolicy"] = imageTag(String(container["image"] ?? "")) === "latest" ? "Always" : "IfNotPresent";
  }
  setTextDefault(container, "terminationMessagePath", "/dev/termination-log");
  setTextDefault(container, "terminationMessagePolicy", "File");
  setDefault(container, "resources", {});
  roundUpToMilli(container["resources"].limits);
  roundUpToMilli(container["resources"].requests);
  for (const port of itemsOf(container["ports"])) setTextDefault(port, "protocol", "TCP");
  for (const env of itemsOf(container["env"])) applyFieldRefDefaults(env["valueFrom"]);
  for (const probe of [container["livenessProbe"], container["readinessProbe"], container["startupProbe"]])
    applyProbeDefaults(probe);
  for (const handler of [container["lifecycle"]?.postStart, container["lifecycle"]?.preStop])
    applyHttpGetDefaults(handler);
}

function applyProbeDefaults(probe: Draft | undefined | null): void {
  if (!probe) return;
  if (!probe["timeoutSeconds"]) probe["timeoutSeconds"] = 1;
  if (!probe["periodSeconds"]) probe["periodSeconds"] = 10;
  if (!probe["successThreshold"]) probe["successThreshold"] = 1;
  if (!probe["failureThreshold"]) probe["failureThreshold"] = 3;
  if (probe["grpc"]) setDefault(probe["grpc"] as Draft, "service", "");
  applyHttpGetDefaults(probe);
}

function applyHttpGetDefaults(handler: Draft | undefined | null): void {
  if (!handler?.["httpGet"]) return;
  setTextDefault(handler["httpGet"] as Draft, "path", "/");
  setTextDefault(handler["httpGet"] as Draft, "scheme", "HTTP");
}

function applyFieldRefDefaults(source: Draft | undefined | null): void {
  if (source?.["fieldRef"]) setTextDefault(source["fieldRef"] as Draft, "apiVersion", "v1");
}

function applyVolumeDefaults(volume: Draft): void {
  const sources = Object.keys(volume).filter(
    (key) => key !== "name" && volume[key] !== null && volume[key] !== undefined,
  );
  if (sources.length === 0) volume["emptyDir"] = {};
  for (const kind of ["secret", "configMap", "downwardAPI", "projected"])
    if (volume[kind]) setDefault(volume[kind] as Draft, "defaultMode", 0o644);
  if (volume["hostPath"]) setDefault(volume["hostPath"] as Draft, "type", "");
  for (const item of itemsOf(volume["downwardAPI"]?.items)) applyFieldRefDefaults(item);
  for (const source of itemsOf(volume["projected"]?.sources)) {
    if (source["serviceAccountToken"]) setDefault(source["serviceAccountToken"] as Draft, "expirationSeconds", 3600);
    for (const item of itemsOf(source["downwardAPI"]?.items)) applyFieldRefDefaults(item);
  }
  if (volume["ephemeral"]?.volumeClaimTemplate)
    applyClaimSpecDefaults(ensureObject(volume["ephemeral"].volumeClaimTemplate as Draft, "spec"));
  if (volume["image"] && !volume["image"].pullPolicy) {
    volume["image"].pullPolicy =
      imageTag(String(volume["image"].reference ?? "")) === "latest" ? "Always" : "IfNotPresent";
  }
  applyVolumeSourceDefaults(volume);
}

/** Defaults of sources that volumes and persistent volumes share. */
export function applyVolumeSourceDefaults(sources: Draft): void {
  const { iscsi, rbd, azureDisk, scaleIO } = sources;
  if (iscsi) setTextDefault(iscsi as Draft, "iscsiInterface", "default");
  if (rbd) {
    setTextDefault(rbd as Draft, "pool", "rbd");
    setTextDefault(rbd as Draft, "user", "admin");
    setTextDefault(rbd as Draft, "keyring", "/etc/ceph/keyring");
  }
  if (azureDisk) {
    setDefault(azureDisk as Draft, "cachingMode", "ReadWrite");
    setDefault(azureDisk as Draft, "fsType", "ext4");
    setDefault(azureDisk as Draft, "readOnly", false);
    setDefault(azureDisk as Draft, "kind", "Shared");
  }
  if (scaleIO) {
    setTextDefault(scaleIO as Draft, "storageMode", "ThinProvisioned");
    setTextDefault(scaleIO as Draft, "fsType", "xfs");
  }
}

/** Defaults of a persistent volume claim's spec. */
export function applyClaimSpecDefaults(spec: Draft): void {
  setDefault(spec, "volumeMode", "Filesystem");
  roundUpToMilli(spec["resources"]?.limits);
  roundUpToMilli(spec["resources"]?.requests);
}

/** Resources that a pod as a whole can ask for. */
function supported(resources: Draft): Draft {
  const entries = Object.entries(resources).filter(
    ([name]) => name === "cpu" || name === "memory" || name.startsWith("hugepages-"),
  );
  return Object.fromEntries(entries);
}
