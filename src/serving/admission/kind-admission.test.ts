import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { KubeObject } from "#apimachinery/meta.ts";
import { fatal, formatErrors } from "#knative/admission/field-error.ts";
import { childName } from "#knative/names.ts";
import { parseDefaultsConfig } from "#serving/config/defaults-config.ts";
import { parseFeaturesConfig } from "#serving/config/features-config.ts";
import type { Revision, Route, Service } from "#serving/kinds.ts";
import { type AdmissionConfig, type AdmissionContext, defaultAdmissionConfig } from "./context.ts";
import { kindAdmissions } from "./kind-admission.ts";

function context(config: Partial<AdmissionConfig> = {}): AdmissionContext {
  return { config: { ...defaultAdmissionConfig, ...config }, operation: "CREATE", username: "ada" };
}

/** As a user writes it: much is left out that types require. */
function service(spec: object, more: object = {}): Service {
  const template = { spec: { containers: [{ image: "registry.example/hello" }], ...spec } };
  return { kind: "Service", metadata: { name: "hello" }, spec: { template }, ...more } as unknown as Service;
}

function defaulted<T extends KubeObject>(object: T, before?: T, given: AdmissionContext = context()): T {
  return kindAdmissions[object.kind ?? ""]!.withDefaults(object, before, given) as T;
}

/** All that is wrong with it, as the webhook says it. */
function problems(object: KubeObject, before?: KubeObject, given: AdmissionContext = context()): string {
  const withDefaults = defaulted(object, before, given);
  return formatErrors(fatal(kindAdmissions[object.kind ?? ""]!.validate(withDefaults, before, given)));
}

describe("defaults of a Service", () => {
  it("are upstream's", () => {
    const { metadata, spec } = defaulted(service({}));

    assert.deepEqual(metadata?.annotations, {
      "serving.knative.dev/creator": "ada",
      "serving.knative.dev/lastModifier": "ada",
    });
    assert.deepEqual(spec, {
      template: {
        spec: {
          containers: [
            {
              image: "registry.example/hello",
              name: "user-container",
              resources: {},
              readinessProbe: { successThreshold: 1, tcpSocket: { port: 0 } },
            },
          ],
          containerConcurrency: 0,
          timeoutSeconds: 300,
          enableServiceLinks: false,
        },
      },
      traffic: [{ latestRevision: true, percent: 100 }],
    });
  });

  it("change nothing when they are there already", () => {
    const once = defaulted(service({ containers: [{ image: "a", ports: [{ containerPort: 80 }] }, { image: "b" }] }));

    assert.deepEqual(defaulted(once), once);
  });

  it("come from config-defaults", () => {
    const defaults = parseDefaultsConfig({
      "revision-timeout-seconds": "100",
      "revision-cpu-request": "400m",
      "revision-memory-limit": "200M",
      "container-concurrency": "7",
      "container-name-template": "{{.Name}}-main",
      "enable-service-links": "true",
    });
    const spec = defaulted(service({}), undefined, context({ defaults })).spec?.template?.spec;

    assert.equal(spec?.timeoutSeconds, 100);
    assert.equal(spec?.containerConcurrency, 7);
    assert.equal(spec?.enableServiceLinks, true);
    assert.equal(spec?.containers?.[0]?.name, "hello-main");
    assert.deepEqual(spec?.containers?.[0]?.resources, { requests: { cpu: "400m" }, limits: { memory: "200M" } });
  });

  it("name several containers apart, and probe only the one with the port", () => {
    const containers = [
      { image: "a", ports: [{ containerPort: 8888 }] },
      { image: "b" },
      { image: "c", name: "cache" },
    ];
    const all = defaulted(service({ containers })).spec?.template?.spec?.containers ?? [];

    assert.deepEqual(
      all.map(({ name }) => name),
      ["user-container-0", "user-container-1", "cache"],
    );
    assert.deepEqual(
      all.map(({ readinessProbe }) => readinessProbe !== undefined),
      [true, false, false],
    );
  });

  it("mount read-only what is no emptyDir", () => {
    const volumes = [
      { name: "scratch", emptyDir: {} },
      { name: "settings", configMap: { name: "settings" } },
    ];
    const volumeMounts = [
      { name: "scratch", mountPath: "/scratch" },
      { name: "settings", mountPath: "/settings" },
    ];
    const spec = defaulted(service({ volumes, containers: [{ image: "a", volumeMounts }] })).spec?.template?.spec;

    assert.deepEqual(
      spec?.containers?.[0]?.volumeMounts?.map(({ readOnly }) => readOnly),
      [undefined, true],
    );
  });

  it("fill a readiness probe that has a period", () => {
    const containers = [{ image: "a", readinessProbe: { periodSeconds: 5, httpGet: { path: "/ready", port: 0 } } }];
    const [container] = defaulted(service({ containers })).spec?.template?.spec?.containers ?? [];

    assert.deepEqual(container?.readinessProbe, {
      periodSeconds: 5,
      httpGet: { path: "/ready", port: 0 },
      successThreshold: 1,
      failureThreshold: 3,
      timeoutSeconds: 1,
    });
  });

  it("name who changed the spec, and only then", () => {
    const before = defaulted(service({}));
    const byBob = { ...context(), operation: "UPDATE" as const, username: "bob" };
    const same = defaulted(before, before, byBob);
    const other = defaulted({ ...before, spec: { ...before.spec, traffic: [] } }, before, byBob);
    const changed = defaulted({ ...before, spec: service({ timeoutSeconds: 9 }).spec! }, before, byBob);

    assert.equal(same.metadata?.annotations?.["serving.knative.dev/lastModifier"], "ada");
    assert.equal(other.metadata?.annotations?.["serving.knative.dev/lastModifier"], "ada");
    assert.equal(changed.metadata?.annotations?.["serving.knative.dev/lastModifier"], "bob");
    assert.equal(changed.metadata?.annotations?.["serving.knative.dev/creator"], "ada");
  });

  it("leave a template with an unchanged name of its own alone", () => {
    const template = { metadata: { name: "hello-one" }, spec: { containers: [{ image: "a" }] } };
    const before = service({}, { spec: { template } });

    assert.deepEqual(defaulted(before, before).spec?.template, template);
  });

  it("harden containers when asked to", () => {
    const features = parseFeaturesConfig({ "secure-pod-defaults": "enabled" });
    const containers = [{ image: "a", ports: [{ containerPort: 80 }] }];
    const spec = defaulted(service({ containers }), undefined, context({ features })).spec?.template?.spec;

    assert.deepEqual(spec?.containers?.[0]?.securityContext, {
      allowPrivilegeEscalation: false,
      seccompProfile: { type: "RuntimeDefault" },
      capabilities: { drop: ["ALL"], add: ["NET_BIND_SERVICE"] },
      runAsNonRoot: true,
    });
  });
});

describe("defaults of a Route", () => {
  it("make explicit what a target follows", () => {
    const route: Route = {
      kind: "Route",
      metadata: { name: "hello" },
      spec: {
        traffic: [
          { revisionName: "hello-00001", percent: 100 },
          { configurationName: "hello", tag: "new" },
        ],
      },
    };

    assert.deepEqual(defaulted(route).spec?.traffic, [
      { revisionName: "hello-00001", percent: 100, latestRevision: false },
      { configurationName: "hello", tag: "new", latestRevision: true, percent: 0 },
    ]);
  });
});

describe("a Service is refused", () => {
  const container = (more: object) => service({ containers: [{ image: "a", ...more }] });
  const cases: readonly (readonly [string, Service, string])[] = [
    ["without containers", service({ containers: [] }), "missing field(s): spec.template.spec.containers"],
    [
      "without an image",
      service({ containers: [{ name: "x" }] }),
      "missing field(s): spec.template.spec.containers[0].image",
    ],
    [
      "with an image that is none",
      service({ containers: [{ image: "foo:bar:baz" }] }),
      'Failed to parse image reference: spec.template.spec.containers[0].image\nimage: "foo:bar:baz", error: could not parse reference: foo:bar:baz',
    ],
    [
      "with fields that no revision may have",
      container({ lifecycle: {}, stdin: true }),
      "must not set the field(s): spec.template.spec.containers[0].lifecycle, spec.template.spec.containers[0].stdin",
    ],
    [
      "with fields whose feature is off",
      service({ affinity: {}, nodeSelector: { a: "b" }, hostNetwork: true }),
      "must not set the field(s): spec.template.spec.affinity, spec.template.spec.hostNetwork, spec.template.spec.nodeSelector",
    ],
    [
      "with a concurrency out of bounds",
      service({ containerConcurrency: 1001 }),
      "expected 0 <= 1001 <= 1000: spec.template.spec.containerConcurrency",
    ],
    [
      "with a timeout out of bounds",
      service({ timeoutSeconds: 601 }),
      "expected 0 <= 601 <= 600: spec.template.spec.timeoutSeconds",
    ],
    [
      "with variables that Serving sets",
      container({ env: [{ name: "PORT" }, { name: "K_SERVICE" }] }),
      '"K_SERVICE" is a reserved environment variable: spec.template.spec.containers[0].env[1].name\n"PORT" is a reserved environment variable: spec.template.spec.containers[0].env[0].name',
    ],
    [
      "with a port of the queue proxy",
      container({ ports: [{ containerPort: 8012 }] }),
      "invalid value: 8012 is a reserved port: spec.template.spec.containers[0].ports.containerPort\n8012 is a reserved port, please use a different value",
    ],
    [
      "with a port of another protocol",
      container({ ports: [{ containerPort: 80, name: "grpc" }] }),
      "Port name grpc is not allowed: spec.template.spec.containers[0].ports\nName must be empty, or one of: 'h2c', 'http1'",
    ],
    [
      "with two ports",
      service({
        containers: [
          { image: "a", ports: [{ containerPort: 1 }] },
          { image: "b", ports: [{ containerPort: 2 }] },
        ],
      }),
      "more than one container port is set: spec.template.spec.containers[*].ports\nOnly a single port is allowed across all containers",
    ],
    [
      "with several containers and no port",
      service({ containers: [{ image: "a" }, { image: "b" }] }),
      "missing field(s): spec.template.spec.containers[*].ports",
    ],
    [
      "with a volume that nobody mounts",
      service({ volumes: [{ name: "v", emptyDir: {} }] }),
      'volume with name "v" not mounted: spec.template.spec.volumes[0].name',
    ],
    [
      "with a host path",
      service({
        volumes: [{ name: "v", hostPath: { path: "/" } }],
        containers: [{ image: "a", volumeMounts: [{ name: "v", mountPath: "/v" }] }],
      }),
      "HostPath volume support is disabled, but found HostPath volume v: spec.template.spec.volumes[0]\n" +
        "must not set the field(s): spec.template.spec.volumes[0].hostPath",
    ],
    [
      "with a mount of no volume",
      container({ volumeMounts: [{ name: "v", mountPath: "/v" }] }),
      "volumeMount has no matching volume: spec.template.spec.containers[0].volumeMounts[0].name",
    ],
    [
      "with a mount over the root",
      service({
        volumes: [{ name: "v", emptyDir: {} }],
        containers: [{ image: "a", volumeMounts: [{ name: "v", mountPath: "/" }] }],
      }),
      'mountPath "/" is a reserved path: spec.template.spec.containers[0].volumeMounts[0].mountPath',
    ],
    [
      "with two handlers in a probe",
      container({ livenessProbe: { httpGet: { port: 0 }, tcpSocket: { port: 0 } } }),
      "expected exactly one, got both: spec.template.spec.containers[0].livenessProbe.httpGet, spec.template.spec.containers[0].livenessProbe.tcpSocket",
    ],
    [
      "with a probe of another port's name",
      container({ livenessProbe: { httpGet: { port: "metrics" } } }),
      "invalid value: metrics: spec.template.spec.containers[0].livenessProbe.httpGet.port\nProbe port must match container port",
    ],
    [
      "with autoscaling annotations in the wrong place",
      service({}, { metadata: { name: "hello", annotations: { "autoscaling.knative.dev/min-scale": "1" } } }),
      'invalid key name "autoscaling.knative.dev/min-scale": metadata.annotations\nautoscaling annotations must be put under "spec.template.metadata.annotations" to work',
    ],
    [
      "with a name that is no host's",
      service({}, { metadata: { name: "1hello" } }),
      "not a DNS 1035 label: [a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')]: metadata.name",
    ],
    [
      "with capabilities to add",
      container({ securityContext: { capabilities: { add: ["SYS_ADMIN"] } } }),
      "must not set the field(s): spec.template.spec.containers[0].securityContext.capabilities.add",
    ],
  ];
  for (const [name, object, want] of cases) {
    it(name, () => {
      const got = problems(object);

      assert.ok(got.startsWith(want), got);
    });
  }

  it("with annotations that make no sense", () => {
    const annotations = (given: Readonly<Record<string, string>>) => {
      const all = Object.fromEntries(
        Object.entries(given).map(([key, value]) => [`autoscaling.knative.dev/${key}`, value]),
      );
      const { template } = service({}).spec!;
      return problems(service({}, { spec: { template: { ...template, metadata: { annotations: all } } } }));
    };
    const at = (key: string) => `spec.template.metadata.annotations.autoscaling.knative.dev/${key}`;

    assert.equal(annotations({ "min-scale": "-1" }), `expected 0 <= -1 <= 2147483647: ${at("min-scale")}`);
    assert.equal(annotations({ maxScale: "many" }), `invalid value: many: ${at("maxScale")}`);
    assert.equal(
      annotations({ "min-scale": "3", "max-scale": "2" }),
      `max-scale=2 is less than min-scale=3: ${at("max-scale")}, ${at("min-scale")}`,
    );
    assert.equal(annotations({ window: "5s" }), `expected 6s <= 5s <= 1h0m0s: ${at("window")}`);
    assert.equal(annotations({ metric: "cpu" }), `invalid value: cpu: ${at("metric")}`);
    assert.equal(annotations({ class: "hpa.autoscaling.knative.dev", metric: "cpu" }), "");
    assert.equal(annotations({ target: "0" }), `target 0 should be at least 0.01: ${at("target")}`);
    assert.equal(
      annotations({ "initial-scale": "0" }),
      `invalid value: 0: ${at("initial-scale")}=0 not allowed by cluster`,
    );
    assert.equal(
      annotations({ "activation-scale": "1" }),
      `activation-scale=1 must be greater than 1: ${at("activation-scale")}`,
    );
    assert.equal(annotations({ "target-burst-capacity": "-1", "scale-down-delay": "15m" }), "");
  });
});

describe("traffic of a Service", () => {
  const withTraffic = (traffic: NonNullable<Service["spec"]>["traffic"]) =>
    service({}, { spec: { ...service({}).spec, ...(traffic === undefined ? {} : { traffic }) } });
  const cases = [
    ["adds up to 100", [{ latestRevision: true, percent: 90 }], "Traffic targets sum to 90, want 100: spec.traffic"],
    [
      "has each tag once",
      [
        { tag: "a", percent: 100 },
        { tag: "a", revisionName: "hello-00001" },
      ],
      'Multiple definitions for "a": spec.traffic[0].tag, spec.traffic[1].tag',
    ],
    [
      "is not both the latest and a named one",
      [{ revisionName: "hello-00001", latestRevision: true, percent: 100 }],
      'may not set revisionName "hello-00001" when latestRevision is true: spec.traffic[0].latestRevision',
    ],
    [
      "goes to no other Configuration",
      [{ configurationName: "other", percent: 100 }],
      "must not set the field(s): spec.traffic[0].configurationName",
    ],
    [
      "has percentages",
      [{ percent: 101 }, { percent: -1 }],
      "expected 0 <= -1 <= 100: spec.traffic[1].percent\nexpected 0 <= 101 <= 100: spec.traffic[0].percent",
    ],
    ["makes no URLs", [{ percent: 100, url: "http://x" }], "must not set the field(s): spec.traffic[0].url"],
    [
      "may be split",
      [
        { latestRevision: true, percent: 1 },
        { revisionName: "hello-00001", percent: 99 },
      ],
      "",
    ],
  ] as const;
  for (const [name, traffic, want] of cases) {
    it(name, () => assert.equal(problems(withTraffic(traffic)), want));
  }
});

describe("a revision", () => {
  const revision: Revision = {
    kind: "Revision",
    metadata: { name: "hello-00001" },
    spec: { containers: [{ name: "user-container", image: "a" }], containerConcurrency: 0, timeoutSeconds: 300 },
  };

  it("cannot be changed", () => {
    const changed = { ...revision, spec: { ...revision.spec!, containerConcurrency: 5 } };

    assert.equal(
      problems(changed, revision),
      "Immutable fields changed (-old +new): spec\ncontainerConcurrency:\n\t-: 0\n\t+: 5",
    );
    assert.equal(problems(revision, revision), "");
  });

  it("cannot claim a Configuration that does not own it", () => {
    const labels = { "serving.knative.dev/configuration": "hello" };

    assert.equal(
      problems({ ...revision, metadata: { ...revision.metadata, labels } }),
      "missing field(s): metadata.labels.serving.knative.dev/configuration",
    );
  });

  it("of a name of the user's own begins with the Service's", () => {
    const named = (name: string) =>
      service({}, { spec: { template: { ...service({}).spec?.template, metadata: { name } } } });

    assert.equal(problems(named("hello-byo")), "");
    assert.equal(
      problems(named("other")),
      'invalid value: "other" must have prefix "hello-": spec.template.metadata.name',
    );
  });

  it("of a name of the user's own cannot change under that name", () => {
    const of = (timeoutSeconds: number) => {
      const { template } = service({ timeoutSeconds }).spec!;
      return service({}, { spec: { template: { ...template, metadata: { name: "hello-byo" } } } });
    };
    const before = defaulted(of(10));

    assert.match(
      problems({ ...of(20), metadata: before.metadata! }, before),
      /^Saw the following changes without a name change \(-old \+new\): spec\.template\.metadata\.name\n/,
    );
  });
});

describe("who made an object", () => {
  it("cannot be rewritten", () => {
    const before = defaulted(service({}));
    const annotations = { ...before.metadata?.annotations, "serving.knative.dev/creator": "eve" };

    assert.equal(
      problems({ ...before, metadata: { ...before.metadata, annotations } }, before),
      "annotation value is immutable: metadata.annotations.serving.knative.dev/creator",
    );
  });
});

describe("a DomainMapping", () => {
  const mapping = (name: string, ref: object): KubeObject =>
    ({ kind: "DomainMapping", metadata: { name }, spec: { ref } }) as KubeObject;
  const good = { kind: "Service", name: "hello", apiVersion: "serving.knative.dev/v1" };

  it("is of a domain outside the cluster, to something", () => {
    assert.equal(problems(mapping("hello.example.com", good)), "");
    assert.match(problems(mapping("hello", good)), /should be a domain with at least two segments separated by dots/);
    assert.match(problems(mapping("a.svc.cluster.local", good)), /must not be a subdomain of cluster local domain/);
    assert.equal(
      problems(mapping("hello.example.com", {})),
      "missing field(s): spec.ref.apiVersion, spec.ref.kind, spec.ref.name",
    );
  });
});

describe("names of children", () => {
  it("are as upstream makes them", () => {
    assert.equal(childName("hello", "-private"), "hello-private");
    const long = childName("a".repeat(63), "-deployment");
    assert.equal(long.length, 63);
    assert.ok(long.startsWith("a".repeat(20)) && long.endsWith("-deployment"));
  });
});
