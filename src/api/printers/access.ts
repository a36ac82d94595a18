/**
 * Tables of who may do what, and of what takes part in requests: bindings, certificates, webhooks, policies, flow control, API services.
 */
import type { Draft, TablePrinter } from "#api/strategy.ts";
import { humanDuration } from "#apimachinery/duration.ts";
import {
  ageColumn,
  ageOf,
  column,
  firstFew,
  formatLabels,
  integer,
  nameColumn,
  namedAndAged,
  nameOf,
  textOr,
  wide,
} from "./cells.ts";

/** RoleBindings and ClusterRoleBindings. */
export const roleBindingPrinter: TablePrinter = {
  columns: [nameColumn, column("Role"), ageColumn, wide("Users"), wide("Groups"), wide("ServiceAccounts")],
  row: (binding, now) => {
    const subjects: readonly Draft[] = binding["subjects"] ?? [];
    const names = (wanted: string): string =>
      subjects
        .filter(({ kind }) => kind === wanted)
        .map(({ namespace, name }) => (wanted === "ServiceAccount" ? `${namespace ?? ""}/${name}` : name))
        .join(", ");
    return [
      nameOf(binding),
      `${binding["roleRef"]?.kind ?? ""}/${binding["roleRef"]?.name ?? ""}`,
      ageOf(binding, now),
      names("User"),
      names("Group"),
      names("ServiceAccount"),
    ];
  },
};

export const certificateSigningRequestPrinter: TablePrinter = {
  columns: [
    nameColumn,
    ageColumn,
    column("SignerName"),
    column("Requestor"),
    column("RequestedDuration"),
    column("Condition"),
  ],
  row: (request, now) => {
    const { signerName, username, expirationSeconds }: Draft = request["spec"] ?? {};
    return [
      nameOf(request),
      ageOf(request, now),
      textOr(signerName, "<none>"),
      username ?? "",
      expirationSeconds == null ? "<none>" : humanDuration(expirationSeconds * 1000),
      requestCondition(request["status"] ?? {}),
    ];
  },
};

export const clusterTrustBundlePrinter: TablePrinter = {
  columns: [nameColumn, column("SignerName")],
  row: (object) => [nameOf(object), textOr(object["spec"]?.signerName, "<none>")],
};

export const podCertificateRequestPrinter: TablePrinter = {
  columns: [
    nameColumn,
    ...["PodName", "ServiceAccountName", "NodeName", "SignerName", "State"].map((name) => column(name)),
    column("UnverifiedUserAnnotations"),
  ],
  row: (object) => {
    const { spec = {}, status = {} }: Draft = object;
    const states: readonly string[] = (status.conditions ?? []).map(({ type }: Draft) => type);
    return [
      nameOf(object),
      spec.podName ?? "",
      spec.serviceAccountName ?? "",
      spec.nodeName ?? "",
      spec.signerName ?? "",
      states.findLast((type) => ["Issued", "Denied", "Failed"].includes(type)) ?? "Pending",
      formatLabels(spec.unverifiedUserAnnotations),
    ];
  },
};

/** Mutating and validating webhook configurations. */
export const webhookConfigurationPrinter: TablePrinter = namedAndAged([integer("Webhooks")], ({ webhooks }) => [
  webhooks?.length ?? 0,
]);

export const validatingAdmissionPolicyPrinter: TablePrinter = namedAndAged(
  [integer("Validations"), column("ParamKind")],
  ({ spec }) => [spec?.validations?.length ?? 0, paramKind(spec ?? {})],
);

export const mutatingAdmissionPolicyPrinter: TablePrinter = namedAndAged(
  [integer("Mutations"), column("ParamKind")],
  ({ spec }) => [spec?.mutations?.length ?? 0, paramKind(spec ?? {})],
);

/** Bindings of validating and mutating policies. */
export const admissionPolicyBindingPrinter: TablePrinter = namedAndAged(
  [column("PolicyName"), column("ParamRef")],
  ({ spec }) => {
    const { name, namespace, selector }: Draft = spec?.paramRef ?? {};
    // Whether the parameter has a namespace cannot be told from here.
    const selected = selector == null ? "<unset>" : JSON.stringify(selector);
    return [spec?.policyName ?? "", name ? `${namespace || "*"}/${name}` : selected];
  },
);

export const apiServicePrinter: TablePrinter = namedAndAged(
  [column("Service"), column("Available")],
  ({ spec, status }) => {
    const { namespace, name }: Draft = spec?.service ?? {};
    const conditions: readonly Draft[] = status?.conditions ?? [];
    const available = conditions.find(({ type }) => type === "Available");
    const isExplained = available !== undefined && available["status"] !== "True" && available["reason"];
    return [
      spec?.service == null ? "Local" : `${namespace}/${name}`,
      isExplained ? `${available["status"]} (${available["reason"]})` : (available?.["status"] ?? "Unknown"),
    ];
  },
);

export const flowSchemaPrinter: TablePrinter = {
  columns: [
    nameColumn,
    column("PriorityLevel"),
    column("MatchingPrecedence"),
    column("DistinguisherMethod"),
    ageColumn,
    column("MissingPL"),
  ],
  row: (object, now) => {
    const { spec = {}, status = {} }: Draft = object;
    const conditions: readonly Draft[] = status.conditions ?? [];
    return [
      nameOf(object),
      spec.priorityLevelConfiguration?.name ?? "",
      spec.matchingPrecedence ?? 0,
      spec.distinguisherMethod?.type ?? "<none>",
      ageOf(object, now),
      conditions.find(({ type }) => type === "Dangling")?.["status"] ?? "?",
    ];
  },
};

export const priorityLevelPrinter: TablePrinter = namedAndAged(
  ["Type", "NominalConcurrencyShares", "Queues", "HandSize", "QueueLengthLimit"].map((name) => column(name)),
  ({ spec }) => {
    const queuing: Draft | undefined = spec?.limited?.limitResponse?.queuing;
    return [
      spec?.type ?? "",
      spec?.limited?.nominalConcurrencyShares ?? "<none>",
      queuing?.["queues"] ?? "<none>",
      queuing?.["handSize"] ?? "<none>",
      queuing?.["queueLengthLimit"] ?? "<none>",
    ];
  },
);

export const storageVersionPrinter: TablePrinter = namedAndAged(
  [column("CommonEncodingVersion"), column("StorageVersions")],
  ({ status }) => {
    const versions: readonly Draft[] = status?.storageVersions ?? [];
    const shown = versions.map(({ apiServerID, encodingVersion }) => `${apiServerID}=${encodingVersion}`);
    return [status?.commonEncodingVersion ?? "<unset>", firstFew(shown, 3, "<unset>")];
  },
);

export const storageVersionMigrationPrinter: TablePrinter = {
  columns: [column("Name"), column("Resource"), column("Status")],
  row: (object) => {
    const { group, resource }: Draft = object["spec"]?.resource ?? {};
    const conditions: readonly Draft[] = object["status"]?.conditions ?? [];
    const state = conditions.findLast(
      ({ type, status }) => status === "True" && ["Running", "Failed", "Succeeded"].includes(type),
    );
    return [nameOf(object), group ? `${resource}.${group}` : (resource ?? ""), state?.["type"] ?? "Unknown"];
  },
};

function requestCondition({ conditions = [], certificate = "" }: Draft): string {
  const has = (wanted: string): boolean => conditions.some(({ type }: Draft) => type === wanted);
  const decision = has("Denied") ? "Denied" : has("Approved") ? "Approved" : "Pending";
  return decision + (has("Failed") ? ",Failed" : "") + (certificate === "" ? "" : ",Issued");
}

function paramKind(spec: Draft): string {
  const { apiVersion, kind }: Draft = spec["paramKind"] ?? {};
  return spec["paramKind"] == null ? "<unset>" : `${apiVersion}/${kind}`;
}
