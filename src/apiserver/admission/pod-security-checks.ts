/**
 * The Pod Security Standards, baseline and restricted, as of v1.36: what is wrong with a pod's spec, in the words of k8s.io/pod-security-admission. Checks run in the order of their ids there.
 */
import type { Container, PodSpec, SecurityContext } from "#api/generated/types/core-v1.ts";

export type SecurityLevel = "privileged" | "baseline" | "restricted";

/** `reason (detail)` of one check. */
type Violation = { readonly reason: string; readonly detail: string };

type Check = (spec: PodSpec, containers: readonly Container[]) => Violation | undefined;

const defaultCapabilities = new Set(
  "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID SYS_CHROOT".split(
    " ",
  ),
);
const safeSysctls = new Set([
  "kernel.shm_rmid_forced",
  "net.ipv4.ip_local_port_range",
  "net.ipv4.tcp_syncookies",
  "net.ipv4.ping_group_range",
  "net.ipv4.ip_unprivileged_port_start",
  "net.ipv4.ip_local_reserved_ports",
  "net.ipv4.tcp_keepalive_time",
  "net.ipv4.tcp_fin_timeout",
  "net.ipv4.tcp_keepalive_intvl",
  "net.ipv4.tcp_keepalive_probes",
  "net.ipv4.tcp_rmem",
  "net.ipv4.tcp_wmem",
]);
const seLinuxTypes = new Set(["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"]);
const restrictedVolumeTypes = new Set([
  "configMap",
  "csi",
  "downwardAPI",
  "emptyDir",
  "ephemeral",
  "image",
  "persistentVolumeClaim",
  "projected",
  "secret",
]);

const baselineOnly: ReadonlyMap<string, Check> = new Map<string, Check>([
  ["capabilities_baseline", capabilitiesBaseline],
  ["hostPathVolumes", hostPathVolumes],
  ["seccompProfile_baseline", seccompBaseline],
]);
const baseline: ReadonlyMap<string, Check> = new Map<string, Check>([
  ["appArmorProfile", appArmor],
  ["hostNamespaces", hostNamespaces],
  ["hostPorts", hostPorts],
  ["hostProbesAndHostLifecycle", hostProbes],
  ["privileged", privileged],
  ["procMount", procMount],
  ["seLinuxOptions", seLinuxOptions],
  ["sysctls", sysctls],
  ["windowsHostProcess", windowsHostProcess],
]);
const restricted: ReadonlyMap<string, Check> = new Map<string, Check>([
  ["allowPrivilegeEscalation", allowPrivilegeEscalation],
  ["capabilities_restricted", capabilitiesRestricted],
  ["restrictedVolumes", restrictedVolumes],
  ["runAsNonRoot", runAsNonRoot],
  ["runAsUser", runAsUser],
  ["seccompProfile_restricted", seccompRestricted],
]);

/** `reason (detail), …` of all that violates the level; undefined when nothing does. */
export function findViolations(level: SecurityLevel, spec: PodSpec): string | undefined {
  if (level === "privileged") return undefined;
  const checks = new Map([...baseline, ...(level === "baseline" ? baselineOnly : restricted)]);
  const containers = [
    ...(spec.initContainers ?? []),
    ...(spec.containers ?? []),
    ...(spec.ephemeralContainers ?? []),
  ] as readonly Container[];
  const found = [...checks.keys()].sort().flatMap((id) => checks.get(id)?.(spec, containers) ?? []);
  return found.length === 0
    ? undefined
    : found.map(({ reason, detail }) => (detail === "" ? reason : `${reason} (${detail})`)).join(", ");
}

function hostNamespaces({ hostNetwork, hostPID, hostIPC }: PodSpec): Violation | undefined {
  const set = [hostNetwork && "hostNetwork=true", hostPID && "hostPID=true", hostIPC && "hostIPC=true"].filter(Boolean);
  return set.length === 0 ? undefined : { reason: "host namespaces", detail: set.join(", ") };
}

function privileged(_spec: PodSpec, containers: readonly Container[]): Violation | undefined {
  return inContainers(
    containers,
    "privileged",
    ({ securityContext }) => securityContext?.privileged === true,
    "must not set securityContext.privileged=true",
  );
}

function procMount({ hostUsers }: PodSpec, containers: readonly Container[]): Violation | undefined {
  if (hostUsers === false) return undefined;
  const isBad = (mount: string | undefined) => mount !== undefined && mount !== "Default";
  const bad = containers.filter(({ securityContext }) => isBad(securityContext?.procMount));
  const values = distinct(bad.map(({ securityContext }) => securityContext?.procMount ?? ""));
  return bad.length === 0
    ? undefined
    : { reason: "procMount", detail: `${named(bad)} must not set securityContext.procMount to ${quoted(values)}` };
}

function capabilitiesBaseline(_spec: PodSpec, containers: readonly Container[]): Violation | undefined {
  const added = ({ securityContext }: Container) =>
    (securityContext?.capabilities?.add ?? []).filter((name) => !defaultCapabilities.has(name));
  const bad = containers.filter((container) => added(container).length > 0);
  if (bad.length === 0) return undefined;
  return {
    reason: "non-default capabilities",
    detail: `${named(bad)} must not include ${quoted(distinct(bad.flatMap(added)))} in securityContext.capabilities.add`,
  };
}

function hostPathVolumes({ volumes = [] }: PodSpec): Violation | undefined {
  const names = volumes.filter(({ hostPath }) => hostPath).map(({ name }) => name);
  return names.length === 0
    ? undefined
    : { reason: "hostPath volumes", detail: `${plural("volume", names)} ${quoted(names)}` };
}

function hostPorts(_spec: PodSpec, containers: readonly Container[]): Violation | undefined {
  const portsOf = ({ ports = [] }: Container) => ports.flatMap(({ hostPort }) => (hostPort ? [String(hostPort)] : []));
  const bad = containers.filter((container) => portsOf(container).length > 0);
  if (bad.length === 0) return undefined;
  const ports = distinct(bad.flatMap(portsOf));
  return {
    reason: "hostPort",
    detail: `${named(bad)} ${bad.length === 1 ? "uses" : "use"} ${plural("hostPort", ports)} ${ports.join(", ")}`,
  };
}

/** Probes must not reach for other hosts from the node. */
function hostProbes(_spec: PodSpec, containers: readonly Container[]): Violation | undefined {
  const hostsOf = ({ livenessProbe, readinessProbe, startupProbe, lifecycle }: Container) =>
    [livenessProbe, readinessProbe, startupProbe, lifecycle?.postStart, lifecycle?.preStop].flatMap((handler) =>
      [handler?.httpGet?.host, handler?.tcpSocket?.host].filter((host): host is string => !!host),
    );
  const bad = containers.filter((container) => hostsOf(container).length > 0);
  if (bad.length === 0) return undefined;
  return {
    reason: "probe or lifecycle host",
    detail: `${named(bad)} ${bad.length === 1 ? "uses" : "use"} probe or lifecycle ${plural("host", distinct(bad.flatMap(hostsOf)))} ${quoted(distinct(bad.flatMap(hostsOf)))}`,
  };
}

function appArmor({ securityContext }: PodSpec, containers: readonly Container[]): Violation | undefined {
  const isBad = (context: { readonly appArmorProfile?: { readonly type: string } } | undefined) =>
    context?.appArmorProfile?.type === "Unconfined";
  const bad = containers.filter((container) => isBad(container.securityContext));
  const setters = [...(isBad(securityContext) ? ["pod"] : []), ...(bad.length > 0 ? [named(bad)] : [])];
  if (setters.length === 0) return undefined;
  return {
    reason: "forbidden AppArmor profile",
    detail: `${setters.join(" and ")} must not set AppArmor profile type to "Unconfined"`,
  };
}

function seLinuxOptions({ securityContext }: PodSpec, containers: readonly Container[]): Violation | undefined {
  const wrong = (context: Pick<SecurityContext, "seLinuxOptions"> | undefined) => {
    const { type = "", user = "", role = "" } = context?.seLinuxOptions ?? {};
    return [
      ...(seLinuxTypes.has(type) ? [] : [`type ${JSON.stringify(type)}`]),
      ...(user ? ["user may not be set"] : []),
      ...(role ? ["role may not be set"] : []),
    ];
  };
  const bad = containers.filter((container) => wrong(container.securityContext).length > 0);
  const setters = [...(wrong(securityContext).length > 0 ? ["pod"] : []), ...(bad.length > 0 ? [named(bad)] : [])];
  if (setters.length === 0) return undefined;
  const data = [...new Set([...wrong(securityContext), ...bad.flatMap(({ securityContext: own }) => wrong(own))])];
  return {
    reason: "seLinuxOptions",
    detail: `${setters.join(" and ")} set forbidden securityContext.seLinuxOptions: ${data.join("; ")}`,
  };
}

function sysctls({ securityContext }: PodSpec): Violation | undefined {
  const names = (securityContext?.sysctls ?? []).map(({ name }) => name).filter((name) => !safeSysctls.has(name));
  return names.length === 0 ? undefined : { reason: "forbidden sysctls", detail: names.join(", ") };
}

function windowsHostProcess({ securityContext }: PodSpec, containers: readonly Container[]): Violation | undefined {
  const bad = containers.filter((container) => container.securityContext?.windowsOptions?.hostProcess);
  const setters = [
    ...(securityContext?.windowsOptions?.hostProcess ? ["pod"] : []),
    ...(bad.length > 0 ? [named(bad)] : []),
  ];
  if (setters.length === 0) return undefined;
  return {
    reason: "hostProcess",
    detail: `${setters.join(" and ")} must not set securityContext.windowsOptions.hostProcess=true`,
  };
}

function seccompBaseline(spec: PodSpec, containers: readonly Container[]): Violation | undefined {
  return badSeccomp(spec, containers, (type) => type === "Unconfined");
}

function seccompRestricted(spec: PodSpec, containers: readonly Container[]): Violation | undefined {
  const isGood = (type: string | undefined) => type === "RuntimeDefault" || type === "Localhost";
  const bad = badSeccomp(spec, containers, (type) => !isGood(type));
  if (bad || isGood(spec.securityContext?.seccompProfile?.type)) return bad;
  const unset = containers.filter(({ securityContext }) => !securityContext?.seccompProfile);
  if (unset.length === 0) return undefined;
  return {
    reason: "seccompProfile",
    detail: `pod or ${named(unset)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"`,
  };
}

function badSeccomp(
  { securityContext }: PodSpec,
  containers: readonly Container[],
  isBad: (type: string) => boolean,
): Violation | undefined {
  const typeOf = (context: Pick<SecurityContext, "seccompProfile"> | undefined) => context?.seccompProfile?.type;
  const isSetBad = (type: string | undefined): type is string => type !== undefined && isBad(type);
  const bad = containers.filter((container) => isSetBad(typeOf(container.securityContext)));
  const own = typeOf(securityContext);
  const setters = [...(isSetBad(own) ? ["pod"] : []), ...(bad.length > 0 ? [named(bad)] : [])];
  if (setters.length === 0) return undefined;
  const values = distinct([
    ...(isSetBad(own) ? [own] : []),
    ...bad.map((container) => typeOf(container.securityContext) ?? ""),
  ]);
  return {
    reason: "seccompProfile",
    detail: `${setters.join(" and ")} must not set securityContext.seccompProfile.type to ${quoted(values)}`,
  };
}

function allowPrivilegeEscalation({ os }: PodSpec, containers: readonly Container[]): Violation | undefined {
  if (os?.name === "windows") return undefined;
  const isOpen = ({ securityContext }: Container) => securityContext?.allowPrivilegeEscalation !== false;
  return inContainers(
    containers,
    "allowPrivilegeEscalation != false",
    isOpen,
    "must set securityContext.allowPrivilegeEscalation=false",
  );
}

function capabilitiesRestricted({ os }: PodSpec, containers: readonly Container[]): Violation | undefined {
  if (os?.name === "windows") return undefined;
  const keeping = containers.filter(({ securityContext }) => !securityContext?.capabilities?.drop?.includes("ALL"));
  const added = ({ securityContext }: Container) =>
    (securityContext?.capabilities?.add ?? []).filter((name) => name !== "NET_BIND_SERVICE");
  const adding = containers.filter((container) => added(container).length > 0);
  const details = [
    ...(keeping.length > 0 ? [`${named(keeping)} must set securityContext.capabilities.drop=["ALL"]`] : []),
    ...(adding.length > 0
      ? [
          `${named(adding)} must not include ${quoted(distinct(adding.flatMap(added)))} in securityContext.capabilities.add`,
        ]
      : []),
  ];
  return details.length === 0 ? undefined : { reason: "unrestricted capabilities", detail: details.join("; ") };
}

function restrictedVolumes({ volumes = [] }: PodSpec): Violation | undefined {
  const typeOf = (volume: object) => Object.keys(volume).find((key) => key !== "name") ?? "emptyDir";
  const bad = volumes.filter((volume) => !restrictedVolumeTypes.has(typeOf(volume)));
  if (bad.length === 0) return undefined;
  const [names, types] = [bad.map(({ name }) => name), distinct(bad.map(typeOf))];
  const uses = bad.length === 1 ? "uses" : "use";
  const what = bad.length === 1 ? "restricted volume type" : "restricted volume types";
  return {
    reason: "restricted volume types",
    detail: `${plural("volume", names)} ${quoted(names)} ${uses} ${types.length === 1 ? "restricted volume type" : what} ${quoted(types)}`,
  };
}

function runAsNonRoot(
  { securityContext, hostUsers }: PodSpec,
  containers: readonly Container[],
): Violation | undefined {
  if (hostUsers === false) return undefined;
  const reason = "runAsNonRoot != true";
  const bad = containers.filter((container) => container.securityContext?.runAsNonRoot === false);
  const setters = [
    ...(securityContext?.runAsNonRoot === false ? ["pod"] : []),
    ...(bad.length > 0 ? [named(bad)] : []),
  ];
  if (setters.length > 0)
    return { reason, detail: `${setters.join(" and ")} must not set securityContext.runAsNonRoot=false` };
  if (securityContext?.runAsNonRoot) return undefined;
  const unset = containers.filter((container) => container.securityContext?.runAsNonRoot === undefined);
  return unset.length === 0
    ? undefined
    : { reason, detail: `pod or ${named(unset)} must set securityContext.runAsNonRoot=true` };
}

function runAsUser({ securityContext, hostUsers }: PodSpec, containers: readonly Container[]): Violation | undefined {
  if (hostUsers === false) return undefined;
  const bad = containers.filter((container) => container.securityContext?.runAsUser === 0);
  const setters = [...(securityContext?.runAsUser === 0 ? ["pod"] : []), ...(bad.length > 0 ? [named(bad)] : [])];
  return setters.length === 0
    ? undefined
    : { reason: "runAsUser=0", detail: `${setters.join(" and ")} must not set runAsUser=0` };
}

function inContainers(
  containers: readonly Container[],
  reason: string,
  isBad: (container: Container) => boolean,
  says: string,
): Violation | undefined {
  const bad = containers.filter(isBad);
  return bad.length === 0 ? undefined : { reason, detail: `${named(bad)} ${says}` };
}

function named(containers: readonly Container[]): string {
  return `${plural("container", containers)} ${quoted(containers.map(({ name }) => name))}`;
}

function plural(word: string, items: readonly unknown[]): string {
  return items.length === 1 ? word : `${word}s`;
}

function quoted(items: readonly string[]): string {
  return items.map((item) => JSON.stringify(item)).join(", ");
}

function distinct(items: readonly string[]): readonly string[] {
  return [...new Set(items)].sort();
}
