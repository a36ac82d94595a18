/**
 * Gives every pod a service account that exists, its image pull secrets, and the volume with its token. As plugin/pkg/admission/serviceaccount.
 */
import type { Pod, ServiceAccount } from "#api/generated/types/core-v1.ts";
import type { Draft } from "#api/strategy.ts";
import { itemsOf } from "#api/defaults.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "#apiserver/admission.ts";
import { objectsUsedBy } from "#apiserver/authorization/pod-references.ts";
import type { Client } from "#client/client.ts";
import type { Informer } from "#client/informer.ts";
import type { Clock } from "#component-base/clock.ts";
import { draftOf, findLive, isWriteTo, refuse, synced } from "./admission-tools.ts";
import { findUnmountableSecret } from "./mountable-secrets.ts";

const volumePrefix = "kube-api-access-";
const mountPath = "/var/run/secrets/kubernetes.io/serviceaccount";
const mirrorAnnotation = "kubernetes.io/config.mirror";
/** A controller makes the account "default" just after its namespace: pods that come at once wait this long for it. */
const defaultAccountWaitMs = 2000;
const alphabet = "bcdfghjklmnpqrstvwxz2456789";

export type ServiceAccountOptions = {
  readonly client: Client;
  readonly serviceAccounts: Informer<ServiceAccount>;
  readonly clock: Clock;
  /** Randomness in [0, 1). Default Math.random. */
  readonly random?: () => number;
};

export class ServiceAccountPlugin implements AdmissionPlugin {
  readonly name = "ServiceAccount";
  readonly #options: ServiceAccountOptions;

  constructor(options: ServiceAccountOptions) {
    this.#options = options;
  }

  handles(attributes: AdmissionAttributes): boolean {
    if (isWriteTo(attributes, "", "pods", "ephemeralcontainers")) return attributes.operation === "UPDATE";
    return attributes.operation === "CREATE" && isWriteTo(attributes, "", "pods");
  }

  async mutate(attributes: AdmissionAttributes): Promise<KubeObject | undefined> {
    if (attributes.operation !== "CREATE" || isMirror(attributes.object as Pod)) return undefined;
    const draft = draftOf(attributes);
    const spec = draft["spec"] as Draft;
    const name = (spec["serviceAccountName"] as string | undefined) || "default";
    Object.assign(spec, { serviceAccountName: name, serviceAccount: name });
    const account = await this.#accountOf(attributes, name);
    if (spec["automountServiceAccountToken"] ?? account.automountServiceAccountToken ?? true) this.#mountToken(spec);
    if (!spec["imagePullSecrets"]?.length && account.imagePullSecrets?.length) {
      spec["imagePullSecrets"] = account.imagePullSecrets.map((secret) => ({ name: secret.name }));
    }
    return draft as KubeObject;
  }

  async validate(attributes: AdmissionAttributes): Promise<void> {
    const pod = attributes.object as Pod;
    if (isMirror(pod)) return validateMirror(attributes, pod);
    const name = pod.spec?.serviceAccountName;
    if (!name)
      throw refuse(
        attributes,
        `no service account specified for pod ${attributes.request.namespace}/${pod.metadata?.name ?? ""}`,
      );
    const account = await this.#accountOf(attributes, name);
    if (account.metadata?.annotations?.["kubernetes.io/enforce-mountable-secrets"] !== "true") return;
    const why = findUnmountableSecret(pod, account);
    if (why !== undefined) throw refuse(attributes, why);
  }

  async #accountOf(attributes: AdmissionAttributes, name: string): Promise<ServiceAccount> {
    const { namespace } = attributes.request;
    const lister = await synced(this.#options.serviceAccounts);
    const ref = { resource: { group: "", version: "v1", resource: "serviceaccounts" }, namespace, name };
    const account = lister.find(namespace, name) ?? (await findLive<ServiceAccount>(this.#options.client, ref));
    if (account) return account;
    const later = name === "default" ? await this.#waitFor(namespace, name) : undefined;
    if (later) return later;
    throw refuse(
      attributes,
      `error looking up service account ${namespace}/${name}: serviceaccount ${JSON.stringify(name)} not found`,
    );
  }

  #waitFor(namespace: string, name: string): Promise<ServiceAccount | undefined> {
    const { serviceAccounts, clock } = this.#options;
    return new Promise((resolve) => {
      const timer = clock.setTimer(defaultAccountWaitMs, () => finish(undefined));
      const remove = serviceAccounts.addHandler({
        onAdd: (account) => {
          if (account.metadata?.namespace === namespace && account.metadata.name === name) finish(account);
        },
      });
      function finish(account: ServiceAccount | undefined): void {
        timer.clear();
        // Handlers are told of what is there before addHandler returns.
        queueMicrotask(() => remove());
        resolve(account);
      }
    });
  }

  #mountToken(spec: Draft): void {
    const existing = itemsOf(spec["volumes"]).find((volume) => String(volume["name"]).startsWith(volumePrefix));
    const name = (existing?.["name"] as string | undefined) ?? volumePrefix + this.#suffix();
    const containers = [...itemsOf(spec["initContainers"]), ...itemsOf(spec["containers"])];
    // A mount of the user's at this place stays what it is.
    const mounting = containers.filter(
      (container) => !itemsOf(container["volumeMounts"]).some((mount) => mount["mountPath"] === mountPath),
    );
    for (const container of mounting) {
      container["volumeMounts"] = [...(container["volumeMounts"] ?? []), { name, readOnly: true, mountPath }];
    }
    if (existing || mounting.length === 0) return;
    spec["volumes"] = [...(spec["volumes"] ?? []), { name, projected: tokenVolume() }];
  }

  #suffix(): string {
    const random = this.#options.random ?? Math.random;
    return Array.from({ length: 5 }, () => alphabet[Math.floor(random() * alphabet.length)]).join("");
  }
}

function tokenVolume(): Draft {
  return {
    defaultMode: 0o644,
    sources: [
      { serviceAccountToken: { expirationSeconds: 3607, path: "token" } },
      { configMap: { name: "kube-root-ca.crt", items: [{ key: "ca.crt", path: "ca.crt" }] } },
      {
        downwardAPI: {
          items: [{ path: "namespace", fieldRef: { apiVersion: "v1", fieldPath: "metadata.namespace" } }],
        },
      },
    ],
  };
}

function isMirror(pod: Pod): boolean {
  return pod.metadata?.annotations?.[mirrorAnnotation] !== undefined;
}

function validateMirror(attributes: AdmissionAttributes, pod: Pod): void {
  if (pod.spec?.serviceAccountName) throw refuse(attributes, "a mirror pod may not reference service accounts");
  const { [mirrorAnnotation]: _mirror, ...annotations } = pod.metadata?.annotations ?? {};
  const used = objectsUsedBy({ ...pod, metadata: { ...pod.metadata, annotations } });
  if ([...used].some((key) => key.startsWith("secrets/")))
    throw refuse(attributes, "a mirror pod may not reference secrets");
  const sources = (pod.spec?.volumes ?? []).flatMap((volume) => volume.projected?.sources ?? []);
  if (sources.some((source) => source.serviceAccountToken)) {
    throw refuse(attributes, "a mirror pod may not use ServiceAccountToken volume projections");
  }
}
