/**
 * ClusterRoles: what administrators, editors and viewers of a namespace may do with Eventing's objects, and the aggregated ones by which controllers of others find addresses and serve channels. Names as
 * upstream's `config/core/roles` (v1.22).
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import { eventingGroup, eventingNamespace, flowsGroup, messagingGroup, sourcesGroup } from "#eventing/names.ts";
import {
  aggregateTo,
  aggregatingRole,
  clusterRole,
  namespacedRoles as namespacedRoleNames,
  readVerbs,
} from "#knative/roles.ts";

const groups = [eventingGroup, messagingGroup, sourcesGroup, flowsGroup];
const partOf = { "app.kubernetes.io/name": eventingNamespace };
const addressable = "duck.knative.dev/addressable";
const channelable = "duck.knative.dev/channelable";
const source = "duck.knative.dev/source";

/** All of them. */
export function eventingRoles(): readonly KubeObject[] {
  return [...namespacedRoles(), ...resolverRoles(), ...channelableRoles(), ...sourceRoles()];
}

function namespacedRoles(): readonly KubeObject[] {
  const admins = groups.map((group) =>
    clusterRole(`knative-${group.split(".")[0]}-namespaced-admin`, {
      labels: { ...aggregateTo("admin"), ...partOf },
      rules: [{ apiGroups: [group], resources: ["*"], verbs: ["*"] }],
    }),
  );
  const all = (verbs: readonly string[]) => [{ apiGroups: groups, resources: ["*"], verbs }];
  return [
    ...admins,
    ...ownSourceRoles(),
    clusterRole("knative-eventing-namespaced-edit", {
      labels: { ...aggregateTo("edit"), ...partOf },
      rules: all(["create", "update", "patch", "delete"]),
    }),
    clusterRole("knative-eventing-namespaced-view", {
      labels: { ...aggregateTo("view"), ...partOf },
      rules: all(readVerbs),
    }),
  ];
}

/** Our group has other kinds too, which are no affair of Eventing's. */
function ownSourceRoles(): readonly KubeObject[] {
  const verbs = { admin: ["*"], edit: ["create", "update", "patch", "delete"], view: readVerbs };
  return namespacedRoleNames.map((role) =>
    clusterRole(`nodeless-sources-namespaced-${role}`, {
      labels: { ...aggregateTo(role), ...partOf },
      rules: [{ apiGroups: ["nodeless.dev"], resources: ["objectsources", "gitsources"], verbs: verbs[role] }],
    }),
  );
}

function resolverRoles(): readonly KubeObject[] {
  const resolver = (name: string, group: string, ...kinds: readonly string[]) =>
    clusterRole(`${name}-addressable-resolver`, {
      labels: { [addressable]: "true", ...partOf },
      rules: [{ apiGroups: [group], resources: withStatus(kinds), verbs: readVerbs }],
    });
  return [
    aggregatingRole("addressable-resolver", { labels: partOf, aggregates: addressable }),
    resolver("service", "", "services"),
    resolver("serving", "serving.knative.dev", "routes", "services"),
    resolver("functions", "nodeless.dev", "functions"),
    resolver("channel", messagingGroup, "channels"),
    resolver("imc", messagingGroup, "inmemorychannels"),
    resolver("broker", eventingGroup, "brokers"),
    resolver("flows", flowsGroup, "sequences", "parallels"),
  ];
}

function channelableRoles(): readonly KubeObject[] {
  const manipulator = (name: string, kind: string) =>
    clusterRole(`${name}-channelable-manipulator`, {
      labels: { [channelable]: "true", ...partOf },
      rules: [
        {
          apiGroups: [messagingGroup],
          resources: withStatus([kind]),
          verbs: ["create", ...readVerbs, "update", "patch", "delete"],
        },
      ],
    });
  return [
    aggregatingRole("channelable-manipulator", { labels: partOf, aggregates: channelable }),
    manipulator("meta", "channels"),
    manipulator("imc", "inmemorychannels"),
  ];
}

function sourceRoles(): readonly KubeObject[] {
  return [
    aggregatingRole("source-observer", { labels: partOf, aggregates: source }),
    clusterRole("eventing-sources-source-observer", {
      labels: { [source]: "true", ...partOf },
      rules: [{ apiGroups: [sourcesGroup], resources: ["*"], verbs: readVerbs }],
    }),
  ];
}

function withStatus(kinds: readonly string[]): readonly string[] {
  return kinds.flatMap((kind) => [kind, `${kind}/status`]);
}
