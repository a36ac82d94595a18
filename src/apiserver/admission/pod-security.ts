/**
 * Holds pods to the Pod Security Standard that their namespace asks for by the labels `pod-security.kubernetes.io/{enforce,warn}`; without labels all is allowed. As k8s.io/pod-security-admission.
 * Versions other than the newest are shown in messages but checked as the newest.
 */
import type { Namespace, PodSpec } from "#api/generated/types/core-v1.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "#apiserver/admission.ts";
import type { Client } from "#client/client.ts";
import type { Informer } from "#client/informer.ts";
import { findLive, refuse, synced } from "./admission-tools.ts";
import { findViolations, type SecurityLevel } from "./pod-security-checks.ts";

const prefix = "pod-security.kubernetes.io/";
/** Kinds with a template of pods: they are warned of, their pods are refused. */
const templated = new Set([
  "/podtemplates",
  "/replicationcontrollers",
  "apps/deployments",
  "apps/replicasets",
  "apps/statefulsets",
  "apps/daemonsets",
  "batch/jobs",
  "batch/cronjobs",
]);

type Policy = { readonly level: SecurityLevel; readonly version: string };
type Labels = Readonly<Record<string, string>>;

export type PodSecurityOptions = { readonly client: Client; readonly namespaces: Informer<Namespace> };

export class PodSecurityPlugin implements AdmissionPlugin {
  readonly name = "PodSecurity";
  readonly #options: PodSecurityOptions;

  constructor(options: PodSecurityOptions) {
    this.#options = options;
  }

  handles({ request, operation }: AdmissionAttributes): boolean {
    if (operation !== "CREATE" && operation !== "UPDATE") return false;
    const key = `${request.apiGroup}/${request.resource}`;
    if (key === "/pods") return request.subresource === "" || request.subresource === "ephemeralcontainers";
    return request.subresource === "" && templated.has(key);
  }

  async validate(attributes: AdmissionAttributes): Promise<void> {
    const labels = await this.#labelsOf(attributes.request.namespace);
    const [enforced, warned] = [policyOf(labels, "enforce"), policyOf(labels, "warn")];
    if (enforced.level === "privileged" && warned.level === "privileged") return;
    const isPod = attributes.request.resource === "pods";
    const spec = podSpecOf(attributes.object);
    if (!spec || (isPod && attributes.operation === "UPDATE" && !isSignificant(spec, podSpecOf(attributes.oldObject))))
      return;
    const violations = isPod ? findViolations(enforced.level, spec) : undefined;
    if (violations !== undefined) throw refuse(attributes, `violates PodSecurity ${show(enforced)}: ${violations}`);
    const warnings = findViolations(warned.level, spec);
    if (warnings !== undefined) attributes.warn?.(`would violate PodSecurity ${show(warned)}: ${warnings}`);
  }

  async #labelsOf(name: string): Promise<Labels> {
    const known = (await synced(this.#options.namespaces)).find("", name);
    const ref = { resource: { group: "", version: "v1", resource: "namespaces" }, name };
    return (known ?? (await findLive<Namespace>(this.#options.client, ref)))?.metadata?.labels ?? {};
  }
}

/** An unknown level counts as the strictest, as upstream has it. */
function policyOf(labels: Labels, mode: "enforce" | "warn"): Policy {
  const level = labels[prefix + mode] ?? "privileged";
  const isKnown = level === "privileged" || level === "baseline" || level === "restricted";
  return { level: isKnown ? level : "restricted", version: labels[`${prefix}${mode}-version`] ?? "latest" };
}

function show({ level, version }: Policy): string {
  return JSON.stringify(`${level}:${version}`);
}

type Shapes = {
  readonly spec?: PodSpec & {
    readonly template?: { readonly spec?: PodSpec };
    readonly jobTemplate?: { readonly spec?: { readonly template?: { readonly spec?: PodSpec } } };
  };
  readonly template?: { readonly spec?: PodSpec };
};

function podSpecOf(object: KubeObject | undefined): PodSpec | undefined {
  const { spec, template } = (object ?? {}) as Shapes;
  if (spec?.containers) return spec;
  return spec?.jobTemplate?.spec?.template?.spec ?? spec?.template?.spec ?? template?.spec;
}

/** Updates that leave all images as they are cannot make a pod worse. */
function isSignificant(after: PodSpec, before: PodSpec | undefined): boolean {
  const images = (spec: PodSpec | undefined) =>
    JSON.stringify(
      [spec?.containers, spec?.initContainers, spec?.ephemeralContainers].map((list) =>
        list?.map(({ name, image }) => [name, image]),
      ),
    );
  return images(after) !== images(before);
}
