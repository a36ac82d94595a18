/**
 * Gives a Route or a Service a name of the user's own: claims the domain for its namespace, and has an Ingress lead it where the Route's traffic goes. As upstream's
 * `pkg/reconciler/domainmapping` (v1.23) with direct route traffic: there is no second pass through the engine.
 */
import { controllerOf, isControlledBy } from "#apimachinery/owner-references.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { KeyedController, type NamedController } from "#client/controller.ts";
import { ensureDeleted } from "#client/find-object.ts";
import type { Informer } from "#client/informer.ts";
import { keyOf, splitKey } from "#client/object-store.ts";
import { Conditions, findCondition, isFalse, isTrue, isUnknown, type Mark } from "#knative/conditions.ts";
import { childName } from "#knative/names.ts";
import { differs, lastApplied, ownedMeta, overwrite, without, writeStatus } from "#knative/objects.ts";
import type { ServingContext } from "#serving/common/context.ts";
import { ConfigError } from "#knative/config-text.ts";
import { type HttpOption, httpOptionOf } from "#serving/config/other-configs.ts";
import { type DomainMapping, domainMappings, type Ingress, ingresses, type IngressPath } from "#serving/kinds.ts";
import { annotations as keys, labels, networkingInternalGroup, servingGroup } from "#serving/names.ts";
import { ingressClass } from "#serving/route/ingress-of.ts";

/** The controller of DomainMappings. */
export function createDomainMappingController(context: ServingContext): NamedController {
  return new DomainMappingController(context).controller;
}

type DomainClaim = KubeObject & { readonly spec?: { readonly namespace?: string } };

const domainClaims = { group: networkingInternalGroup, version: "v1alpha1", resource: "clusterdomainclaims" };
/** On claims that were made for a mapping, and go with it. */
const managedBy = { "app.kubernetes.io/managed-by": "nodeless-serving" };
const dependents = ["CertificateProvisioned", "DomainClaimed", "IngressReady", "ReferenceResolved"];
const withoutTls: Mark = { status: "True", reason: "TLSNotEnabled", message: "external-domain-tls is not enabled" };
const withTheirs: Mark = {
  status: "True",
  reason: "CertificateExternallyProvided",
  message: "TLS certificate was provided externally",
};
const notConfigured = isUnknown("IngressNotConfigured", "Ingress has not yet been reconciled.");

class DomainMappingController {
  readonly controller: KeyedController;
  readonly #context: ServingContext;
  readonly #mappings: Informer<DomainMapping>;
  readonly #ingresses: Informer<Ingress>;
  readonly #claims: Informer<DomainClaim>;

  constructor(context: ServingContext) {
    this.#context = context;
    this.controller = new KeyedController(context, {
      name: "serving-domainmapping",
      reconcile: (key, signal) => this.#reconcile(key, signal),
    });
    const { queue } = this.controller;
    const { informers } = context;
    const own = (mapping: DomainMapping) => queue.add(keyOf(mapping));
    this.#mappings = this.controller.watch(informers.informer<DomainMapping>({ resource: domainMappings }), {
      onAdd: own,
      onUpdate: (_before, mapping) => own(mapping),
      onDelete: own,
    });
    const ingress = (one: Ingress) => this.#enqueueFor(one);
    this.#ingresses = this.controller.watch(informers.informer<Ingress>({ resource: ingresses }), {
      onAdd: ingress,
      onUpdate: (_before, one) => ingress(one),
      onDelete: ingress,
    });
    const claim = ({ metadata, spec }: DomainClaim) => {
      queue.add(`${spec?.namespace ?? ""}/${metadata?.name ?? ""}`);
      // Others may wait for the domain.
      for (const mapping of this.#mappings.lister.list()) if (mapping.metadata?.name === metadata?.name) own(mapping);
    };
    this.#claims = this.controller.watch(informers.informer<DomainClaim>({ resource: domainClaims }), {
      onAdd: claim,
      onDelete: claim,
    });
  }

  /** Its own Ingress, or that of a Route it leads to. */
  #enqueueFor(ingress: Ingress): void {
    const { namespace = "", name = "" } = ingress.metadata ?? {};
    const owner = controllerOf(ingress);
    if (owner?.kind === "DomainMapping") this.controller.queue.add(`${namespace}/${owner.name}`);
    for (const mapping of this.#mappings.lister.list(namespace))
      if (mapping.spec?.ref?.name === name) this.controller.queue.add(keyOf(mapping));
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<void> {
    const { namespace, name } = splitKey(key);
    const mapping = this.#mappings.lister.find(namespace, name);
    if (mapping === undefined) return this.#releaseDomain(namespace, name, signal);
    if (mapping.metadata?.deletionTimestamp !== undefined) return;
    const { client, clock } = this.#context;
    const conditions = new Conditions(mapping.status?.conditions, dependents);
    const url = `${secretOf(mapping) === undefined ? "http" : "https"}://${name}`;
    await this.#look(mapping, conditions, signal);
    const status = { url, address: { url }, conditions: conditions.result(clock.now()) };
    await writeStatus(client, domainMappings, { object: mapping, status, signal });
  }

  async #look(mapping: DomainMapping, conditions: Conditions, signal: AbortSignal): Promise<void> {
    conditions.mark("CertificateProvisioned", secretOf(mapping) === undefined ? withoutTls : withTheirs);
    const claimed = await this.#claimDomain(mapping, signal);
    conditions.mark("DomainClaimed", claimed);
    if (claimed.status !== "True") return conditions.mark("IngressReady", notConfigured);
    const { name = "", namespace = "", apiVersion = "", kind = "" } = mapping.spec?.ref ?? {};
    const problem = this.#refProblem(mapping, { apiVersion, kind, namespace });
    if (problem !== undefined) {
      conditions.mark("ReferenceResolved", isFalse("ResolveFailed", problem));
      return conditions.mark("IngressReady", notConfigured);
    }
    const target = this.#ingresses.lister.find(mapping.metadata?.namespace ?? "", name);
    const isRoutes = target !== undefined && controllerOf(target)?.kind === "Route";
    if (!isRoutes) {
      const why = `failed to get object ${mapping.metadata?.namespace}/${name}: ${kind.toLowerCase()}s.${servingGroup} ${JSON.stringify(name)} not found`;
      conditions.mark("ReferenceResolved", isFalse("ResolveFailed", why));
      return conditions.mark("IngressReady", notConfigured);
    }
    conditions.mark("ReferenceResolved", isTrue);
    conditions.mark("IngressReady", await this.#ensureIngress(mapping, pathsOf(target), signal));
  }

  #refProblem(
    { metadata }: DomainMapping,
    ref: { readonly apiVersion: string; readonly kind: string; readonly namespace: string },
  ): string | undefined {
    if (ref.namespace !== "" && ref.namespace !== metadata?.namespace)
      return `reference to namespace ${JSON.stringify(ref.namespace)} must be in same namespace as DomainMapping`;
    if (ref.apiVersion !== `${servingGroup}/v1` || !["Service", "Route"].includes(ref.kind))
      return `${ref.apiVersion}, Kind=${ref.kind} cannot be mapped: only Services and Routes of ${servingGroup}/v1 can`;
    return undefined;
  }

  async #claimDomain({ metadata }: DomainMapping, signal: AbortSignal): Promise<Mark> {
    const { name = "", namespace = "" } = metadata ?? {};
    const found = this.#claims.lister.find("", name);
    if (found?.spec?.namespace === namespace) return isTrue;
    if (found !== undefined)
      return isFalse("DomainAlreadyClaimed", "The domain name is already in use by another namespace");
    if (!this.#context.config.current.network.autocreateClusterDomainClaims)
      return isFalse("DomainClaimFailed", `no ClusterDomainClaim found for domain ${JSON.stringify(name)}`);
    const claim: DomainClaim = {
      apiVersion: `${networkingInternalGroup}/v1alpha1`,
      kind: "ClusterDomainClaim",
      metadata: { name, labels: managedBy },
      spec: { namespace },
    };
    await this.#context.client.create({ resource: domainClaims }, claim, { signal });
    return isTrue;
  }

  /** The mapping is gone; a claim that was made for it goes too. */
  async #releaseDomain(namespace: string, name: string, signal: AbortSignal): Promise<void> {
    const claim = this.#claims.lister.find("", name);
    const [[label, value] = ["", ""]] = Object.entries(managedBy);
    if (claim?.spec?.namespace !== namespace || claim.metadata?.labels?.[label] !== value) return;
    await ensureDeleted(this.#context.client, { resource: domainClaims, name }, { signal });
  }

  #httpOptionOf({ metadata }: DomainMapping): HttpOption | ConfigError {
    const asked = metadata?.annotations?.[keys.httpProtocol];
    if (asked === undefined) return this.#context.config.current.network.httpOption;
    try {
      return httpOptionOf(asked);
    } catch (error) {
      if (error instanceof ConfigError) return error;
      throw error;
    }
  }

  async #ensureIngress(mapping: DomainMapping, paths: readonly IngressPath[], signal: AbortSignal): Promise<Mark> {
    const { client } = this.#context;
    const { namespace = "" } = mapping.metadata ?? {};
    const option = this.#httpOptionOf(mapping);
    if (option instanceof ConfigError) return isFalse("InvalidHTTPProtocol", option.message);
    const wanted = ingressFor(mapping, paths, option);
    const name = wanted.metadata?.name ?? "";
    const found = this.#ingresses.lister.find(namespace, name);
    if (found === undefined) {
      await client.create<Ingress>({ resource: ingresses, namespace }, wanted, { signal });
      return notConfigured;
    }
    if (!isControlledBy(found, mapping))
      return isFalse("NotOwned", `There is an existing Ingress ${JSON.stringify(name)} that we do not own.`);
    if (differs(found, wanted)) {
      await overwrite(client, ingresses, { found, wanted, signal });
      return notConfigured;
    }
    return markOf(found);
  }
}

function markOf({ metadata, status }: Ingress): Mark {
  const ready = findCondition(status?.conditions, "Ready");
  if (metadata?.generation !== status?.observedGeneration || ready === undefined) return notConfigured;
  const { reason = "", message = "" } = ready;
  if (ready.status === "True") return isTrue;
  return ready.status === "False" ? isFalse(reason, message) : isUnknown(reason, message);
}

/** Where the Route's own host leads: its first rule, whatever that host is. */
function pathsOf({ spec }: Ingress): readonly IngressPath[] {
  return spec?.rules?.[0]?.http.paths ?? [];
}

function secretOf({ spec }: DomainMapping): string | undefined {
  return spec?.tls?.secretName || undefined;
}

function ingressFor(mapping: DomainMapping, paths: readonly IngressPath[], httpOption: HttpOption): Ingress {
  const secretName = secretOf(mapping);
  const { name = "", namespace = "", uid = "", labels: own, annotations } = mapping.metadata ?? {};
  const original = { "K-Original-Host": name };
  return {
    apiVersion: `${networkingInternalGroup}/v1alpha1`,
    kind: "Ingress",
    metadata: ownedMeta(mapping, {
      name: childName(name, ""),
      labels: { ...own, [labels.domainMappingUid]: uid, [labels.domainMappingNamespace]: namespace },
      annotations: { [keys.ingressClass]: ingressClass, ...without(annotations, (key) => key === lastApplied) },
    }),
    spec: {
      // Who has no certificate would be sent to where nobody can prove who he is.
      httpOption: secretName === undefined ? "Enabled" : httpOption,
      ...(secretName === undefined ? {} : { tls: [{ hosts: [name], secretName, secretNamespace: namespace }] }),
      rules: [
        {
          hosts: [name],
          visibility: "ExternalIP",
          http: {
            paths: paths.map((path) => ({
              ...path,
              splits: path.splits.map((split) => ({
                ...split,
                appendHeaders: { ...split.appendHeaders, ...original },
              })),
            })),
          },
        },
      ],
    },
  };
}
