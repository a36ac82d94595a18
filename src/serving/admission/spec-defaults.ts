/**
 * What a revision's spec and a route's traffic are given where they are silent. Rules as upstream's `revision_defaults.go` and `route_defaults.go` (v1.23).
 */
import type {
  Capabilities,
  Container,
  PodSecurityContext,
  Probe,
  SecurityContext,
} from "#api/generated/types/core-v1.ts";
import { childName } from "#knative/names.ts";
import { type DefaultsConfig, fillNameTemplate } from "#serving/config/defaults-config.ts";
import type { FeaturesConfig } from "#serving/config/features-config.ts";
import type { RevisionSpec, TrafficTarget } from "#serving/kinds.ts";
import type { TemplateContext } from "./context.ts";
import { isHardened } from "./security-validation.ts";

/** The spec with all its defaults. Applying it twice changes nothing more. */
export function withRevisionDefaults(given: RevisionSpec | undefined, context: TemplateContext): RevisionSpec {
  const { defaults, features } = context.config;
  const spec = withTimes(given ?? { containers: [] }, defaults);
  const names = new Set([...(spec.containers ?? []), ...(spec.initContainers ?? [])].map(({ name }) => name));
  const userName = fillNameTemplate(defaults.userContainerNameTemplate, context.parent);
  const initName = fillNameTemplate(defaults.initContainerNameTemplate, context.parent);
  const writable = writableVolumes(spec);
  const isOnly = (spec.containers ?? []).length === 1;
  const containers = nameContainers(spec.containers ?? [], names, userName)
    .map((container) => withContainerDefaults(container, { defaults, writable, isOnly }))
    .map((container) => hardened(container, spec.securityContext, features));
  const initContainers = nameContainers(spec.initContainers ?? [], names, initName).map((container) =>
    hardened(container, spec.securityContext, features),
  );
  const links = spec.enableServiceLinks ?? (context.operation === "CREATE" ? defaults.enableServiceLinks : undefined);
  return {
    ...spec,
    containers,
    ...(spec.initContainers === undefined ? {} : { initContainers }),
    ...(links === undefined || containers.length === 0 ? {} : { enableServiceLinks: links }),
  };
}

function withTimes(spec: RevisionSpec, defaults: DefaultsConfig): RevisionSpec {
  const timeoutSeconds = spec.timeoutSeconds || defaults.revisionTimeoutSeconds;
  // A default that is no shorter than the whole would never strike.
  const shorter = (seconds: number) => (seconds !== 0 && seconds < timeoutSeconds ? seconds : undefined);
  const idle = spec.idleTimeoutSeconds ?? shorter(defaults.revisionIdleTimeoutSeconds);
  const start = spec.responseStartTimeoutSeconds ?? shorter(defaults.revisionResponseStartTimeoutSeconds);
  return {
    ...spec,
    timeoutSeconds,
    containerConcurrency: spec.containerConcurrency ?? defaults.containerConcurrency,
    ...(idle === undefined ? {} : { idleTimeoutSeconds: idle }),
    ...(start === undefined ? {} : { responseStartTimeoutSeconds: start }),
  };
}

/** Volumes a container may write to; all others are mounted read-only. */
function writableVolumes({ volumes = [] }: RevisionSpec): ReadonlySet<string> {
  const isWritable = ({ emptyDir, persistentVolumeClaim, ephemeral }: (typeof volumes)[number]) =>
    [emptyDir, persistentVolumeClaim, ephemeral].some((source) => source !== undefined);
  return new Set(volumes.filter(isWritable).map(({ name }) => name));
}

function nameContainers(containers: readonly Container[], taken: Set<string>, base: string): readonly Container[] {
  let suffix = 0;
  const free = (): string => {
    if (containers.length === 1 && !taken.has(base)) return base;
    for (;;) {
      const name = childName(base, `-${suffix++}`);
      if (!taken.has(name)) return name;
    }
  };
  return containers.map((container) => (container.name ? container : { ...container, name: free() }));
}

function withContainerDefaults(
  container: Container,
  options: { readonly defaults: DefaultsConfig; readonly writable: ReadonlySet<string>; readonly isOnly: boolean },
): Container {
  const { defaults, writable, isOnly } = options;
  const takesRequests = isOnly || (container.ports ?? []).length > 0;
  const readinessProbe = withReadinessDefaults(container.readinessProbe, takesRequests);
  const { livenessProbe, startupProbe, volumeMounts } = container;
  return {
    ...container,
    resources: withResources(container, defaults),
    ...(readinessProbe === undefined ? {} : { readinessProbe: withGrpcService(readinessProbe) }),
    ...(livenessProbe === undefined ? {} : { livenessProbe: withGrpcService(livenessProbe) }),
    ...(startupProbe === undefined ? {} : { startupProbe: withGrpcService(startupProbe) }),
    ...(volumeMounts === undefined
      ? {}
      : {
          volumeMounts: volumeMounts.map((mount) =>
            writable.has(mount.name ?? "") ? mount : { ...mount, readOnly: true },
          ),
        }),
  };
}

function withResources({ resources = {} }: Container, defaults: DefaultsConfig): NonNullable<Container["resources"]> {
  const requests = { ...defaults.requests, ...resources.requests };
  const limits = { ...defaults.limits, ...resources.limits };
  return {
    ...resources,
    ...(Object.keys(requests).length === 0 ? {} : { requests }),
    ...(Object.keys(limits).length === 0 ? {} : { limits }),
  };
}

function withReadinessDefaults(probe: Probe | undefined, takesRequests: boolean): Probe | undefined {
  if (probe === undefined && !takesRequests) return undefined;
  const given = probe ?? {};
  const hasHandler = [given.tcpSocket, given.httpGet, given.exec, given.grpc].some((handler) => handler !== undefined);
  const { periodSeconds = 0, successThreshold, failureThreshold, timeoutSeconds } = given;
  // Port 0 is the container's own; Kubernetes sees the real one in the Deployment.
  const handled = hasHandler || !takesRequests ? given : { ...given, tcpSocket: { port: 0 } };
  return {
    ...handled,
    successThreshold: successThreshold || 1,
    ...(periodSeconds === 0 ? {} : { failureThreshold: failureThreshold || 3, timeoutSeconds: timeoutSeconds || 1 }),
  };
}

function withGrpcService(probe: Probe): Probe {
  if (probe.grpc === undefined || probe.grpc.service !== undefined) return probe;
  return { ...probe, grpc: { ...probe.grpc, service: "" } };
}

/** With `secure-pod-defaults`, containers give up what they did not ask to keep. */
function hardened(container: Container, pod: PodSecurityContext | undefined, features: FeaturesConfig): Container {
  if (!isHardened(features)) return container;
  const given: SecurityContext = container.securityContext ?? {};
  const seccomp = pod?.seccompProfile?.type
    ? given.seccompProfile
    : { type: "RuntimeDefault", ...given.seccompProfile };
  const mustNotBeRoot = features["secure-pod-defaults"] === "Enabled" && pod?.runAsNonRoot === undefined;
  const securityContext: SecurityContext = {
    ...given,
    allowPrivilegeEscalation: given.allowPrivilegeEscalation ?? false,
    ...(seccomp === undefined ? {} : { seccompProfile: seccomp }),
    capabilities: given.capabilities ?? fewCapabilities(container),
    ...(mustNotBeRoot ? { runAsNonRoot: given.runAsNonRoot ?? true } : {}),
  };
  return { ...container, securityContext };
}

function fewCapabilities({ ports = [] }: Container): Capabilities {
  const needsLowPort = ports.some(({ containerPort }) => containerPort < 1024);
  return { drop: ["ALL"], ...(needsLowPort ? { add: ["NET_BIND_SERVICE"] } : {}) };
}

/** Traffic with its defaults; a Service without any sends all of it to the latest revision. */
export function withTrafficDefaults(
  traffic: readonly TrafficTarget[] | undefined,
  isOfService: boolean,
): readonly TrafficTarget[] | undefined {
  if (isOfService && (traffic ?? []).length === 0) return [{ latestRevision: true, percent: 100 }];
  return traffic?.map((target) => ({
    ...target,
    latestRevision: target.latestRevision ?? !target.revisionName,
    percent: target.percent ?? 0,
  }));
}
