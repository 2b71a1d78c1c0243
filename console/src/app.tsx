/** The frame of every page: where one is, in which region, and whether what is shown is followed. */

import AppLayout from "@cloudscape-design/components/app-layout";
import BreadcrumbGroup from "@cloudscape-design/components/breadcrumb-group";
import Box from "@cloudscape-design/components/box";
import Header from "@cloudscape-design/components/header";
import SideNavigation from "@cloudscape-design/components/side-navigation";
import TopNavigation from "@cloudscape-design/components/top-navigation";
import Spinner from "@cloudscape-design/components/spinner";
import { lazy, type ReactNode, Suspense, useEffect, useState } from "react";
import { type About, actIn, signOut } from "./api/call";
import { follow, onLive } from "./api/changes";
import { HereContext } from "./context";
import { nameOf, time } from "./format";
import { applyDark, keepDark, prefersDark } from "./mode";
import { REGIONS } from "./regions";
import { hrefOf, linkTo, placeOf } from "./route";

/** A page that is loaded when it is first opened. */
function later<P extends object>(load: () => Promise<(props: P) => ReactNode>) {
  const found = async () => ({ default: await load() });
  return Object.assign(lazy(found), { load: found });
}

/** Begin to load the page that an address is of, before it is known who asks. */
export function warm(): void {
  const element = page(placeOf(location.hash).path) as { type?: { load?: () => Promise<unknown> } };
  element.type?.load?.().catch(() => undefined);
}

const SwitchAccount = lazy(async () => ({ default: (await import("./parts/account")).SwitchAccount }));
const Overview = later(async () => (await import("./pages/overview")).Overview);
const Clusters = later(async () => (await import("./pages/clusters")).Clusters);
const ClusterPage = later(async () => (await import("./pages/clusters")).ClusterPage);
const Services = later(async () => (await import("./pages/lists")).Services);
const ServicePage = later(async () => (await import("./pages/services")).ServicePage);
const Tasks = later(async () => (await import("./pages/lists")).Tasks);
const TaskPage = later(async () => (await import("./pages/tasks")).TaskPage);
const RunTask = later(async () => (await import("./pages/run-task")).RunTask);
const CapacityProvidersForm = later(async () => (await import("./pages/cluster-form")).CapacityProvidersForm);
const ShellPage = later(async () => (await import("./pages/shell")).ShellPage);
const Definitions = later(async () => (await import("./pages/definitions")).Definitions);
const FamilyPage = later(async () => (await import("./pages/definitions")).FamilyPage);
const DefinitionPage = later(async () => (await import("./pages/definitions")).DefinitionPage);
const DefinitionForm = later(async () => (await import("./pages/definition-form")).DefinitionForm);
const CreateService = later(async () => (await import("./pages/service-form")).CreateService);
const ScalingPolicyForm = later(async () => (await import("./pages/scaling-form")).ScalingPolicyForm);
const ScheduledActionForm = later(async () => (await import("./pages/scaling-form")).ScheduledActionForm);
const UpdateService = later(async () => (await import("./pages/service-form")).UpdateService);
const Balancers = later(async () => (await import("./pages/balancers")).Balancers);
const BalancerPage = later(async () => (await import("./pages/balancers")).BalancerPage);
const FileSystemPage = later(async () => (await import("./pages/file-system")).FileSystemPage);
const Volumes = later(async () => (await import("./pages/volumes")).Volumes);
const Certificates = later(async () => (await import("./pages/certificates")).Certificates);
const CertificatePage = later(async () => (await import("./pages/certificates")).CertificatePage);
const Images = later(async () => (await import("./pages/images")).Images);
const ImagePage = later(async () => (await import("./pages/images")).ImagePage);
const TargetGroupPage = later(async () => (await import("./pages/target-group")).TargetGroupPage);
const Networks = later(async () => (await import("./pages/networks")).Networks);
const NetworkPage = later(async () => (await import("./pages/networks")).NetworkPage);
const InterfacePage = later(async () => (await import("./pages/networks")).InterfacePage);
const SecurityGroupPage = later(async () => (await import("./pages/security-group")).SecurityGroupPage);
const LogGroups = later(async () => (await import("./pages/logs")).LogGroups);
const LogGroupPage = later(async () => (await import("./pages/logs")).LogGroupPage);
const MetricFilterForm = later(async () => (await import("./pages/metric-filter-form")).MetricFilterForm);
const Problems = later(async () => (await import("./pages/problems")).Problems);
const Metrics = later(async () => (await import("./pages/metrics")).Metrics);
const Alarms = later(async () => (await import("./pages/alarms")).Alarms);
const AlarmPage = later(async () => (await import("./pages/alarms")).AlarmPage);
const LogsInsights = later(async () => (await import("./pages/logs-insights")).LogsInsights);
const Insights = later(async () => (await import("./pages/insights")).Insights);
const InsightsPage = later(async () => (await import("./pages/insights")).InsightsPage);
const Roles = later(async () => (await import("./pages/roles")).Roles);
const RolePage = later(async () => (await import("./pages/roles")).RolePage);
const Secrets = later(async () => (await import("./pages/secrets")).Secrets);
const SecretPage = later(async () => (await import("./pages/secrets")).SecretPage);
const Parameters = later(async () => (await import("./pages/parameters")).Parameters);
const ParameterPage = later(async () => (await import("./pages/parameters")).ParameterPage);
const Settings = later(async () => (await import("./pages/settings")).Settings);

function usePlace() {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const moved = () => setHash(location.hash);
    window.addEventListener("hashchange", moved);
    return () => window.removeEventListener("hashchange", moved);
  }, []);
  return placeOf(hash);
}

function useMode(): [boolean, () => void] {
  const [isDark, setDark] = useState(prefersDark);
  useEffect(() => applyDark(isDark), [isDark]);
  const turn = () => {
    keepDark(!isDark);
    setDark(!isDark);
  };
  return [isDark, turn];
}

function page(path: string[]): ReactNode {
  const [first, name, second, id, third, container] = path;
  if (first === undefined) return <Overview />;
  if (first === "clusters" && name === undefined) return <Clusters />;
  if (first === "clusters" && name && second === "capacity-providers") return <CapacityProvidersForm cluster={name} />;
  if (first === "clusters" && name && second === undefined) return <ClusterPage name={name} />;
  if (first === "clusters" && name && second === "tasks" && id && third === "shell" && container) {
    return <ShellPage cluster={name} task={id} container={container} />;
  }
  if (first === "clusters" && name && second === "tasks" && id) return <TaskPage cluster={name} id={id} />;
  if (first === "clusters" && name && second === "services" && id && third === "scaling-policy") return <ScalingPolicyForm cluster={name} name={id} />;
  if (first === "clusters" && name && second === "services" && id && third === "scheduled-action") return <ScheduledActionForm cluster={name} name={id} />;
  if (first === "clusters" && name && second === "services" && id && third === "update") return <UpdateService cluster={name} name={id} />;
  if (first === "clusters" && name && second === "services" && id) return <ServicePage cluster={name} name={id} />;
  if (first === "services" && name === undefined) return <Services />;
  if (first === "run-task") return <RunTask />;
  if (first === "create-task-definition") return <DefinitionForm />;
  if (first === "create-service") return <CreateService />;
  if (first === "task-definitions" && name === undefined) return <Definitions />;
  if (first === "task-definitions" && name && second === undefined) return <FamilyPage family={name} />;
  if (first === "task-definitions" && name && second) return <DefinitionPage family={name} revision={second} />;
  if (first === "load-balancers" && name === undefined) return <Balancers />;
  if (first === "load-balancers" && name) return <BalancerPage name={name} />;
  if (first === "target-groups") return name ? <TargetGroupPage name={name} /> : <Balancers />;
  if (first === "volumes" && name === undefined) return <Volumes />;
  if (first === "volumes" && name?.startsWith("fs-")) return <FileSystemPage id={name} />;
  if (first === "certificates") return name ? <CertificatePage id={name} /> : <Certificates />;
  if (first === "images") return name ? <ImagePage id={name} /> : <Images />;
  if (first === "networks" && name?.startsWith("eni-")) return <InterfacePage id={name} />;
  if (first === "networks") return name ? <NetworkPage id={name} /> : <Networks />;
  if (first === "security-groups") return name ? <SecurityGroupPage id={name} /> : <Networks />;
  if (first === "log-groups" && name === undefined) return <LogGroups />;
  if (first === "log-groups" && name && second === "metric-filter") return <MetricFilterForm group={name} />;
  if (first === "log-groups" && name) return <LogGroupPage name={name} />;
  if (first === "roles") return name ? <RolePage name={name} /> : <Roles />;
  if (first === "secrets") return name ? <SecretPage name={name} /> : <Secrets />;
  if (first === "parameters") return name ? <ParameterPage name={name} /> : <Parameters />;
  if (first === "settings") return <Settings />;
  if (first === "problems" && name === undefined) return <Problems />;
  if (first === "metrics" && name === undefined) return <Metrics />;
  if (first === "alarms" && name === undefined) return <Alarms />;
  if (first === "alarms" && name) return <AlarmPage name={name} />;
  if (first === "logs-insights" && name === undefined) return <LogsInsights />;
  if (first === "insights" && name === undefined) return <Insights />;
  if (first === "insights" && name) return <InsightsPage cluster={name} rest={path.slice(2)} />;
  if (first === "tasks" && name === undefined) return <Tasks />;
  return (
    <>
      <Header variant="h1">There is no such page</Header>
      <Box variant="p">{`/${path.join("/")}`}</Box>
    </>
  );
}

const WORDS: Record<string, string> = {
  clusters: "Clusters",
  services: "Services",
  tasks: "Tasks",
  "task-definitions": "Task definitions",
  "load-balancers": "Load balancers",
  "target-groups": "Target groups",
  networks: "Networks",
  volumes: "Volumes",
  images: "Images",
  "security-groups": "Security groups",
  "log-groups": "Log groups",
  settings: "Account settings",
  problems: "Problems",
  metrics: "Metrics",
  alarms: "Alarms",
  insights: "Container Insights",
  "logs-insights": "Logs Insights",
  containers: "Containers",
  roles: "Roles",
  secrets: "Secrets",
  certificates: "Certificates",
  parameters: "Parameters",
  "create-task-definition": "Create a task definition",
  "create-service": "Create a service",
  "run-task": "Run a task",
  update: "Update",
  "scaling-policy": "Scaling policy",
  "scheduled-action": "Scheduled action",
  "metric-filter": "Metric filter",
  "capacity-providers": "Capacity providers",
  instances: "Container instances",
  shell: "Shell",
};

/** Pages that are found on those of something else. */
const UNDER: Record<string, string> = { "security-groups": "networks", "target-groups": "load-balancers" };

export function App({ about, onSignedOut }: { about: About; onSignedOut: () => void }) {
  const place = usePlace();
  const region = place.query.get("region") ?? localStorage.getItem("portside-region") ?? about.region;
  const account = place.query.get("account") ?? about.account;
  const other = account === about.account ? "" : account;
  // Before any page below reads or links.
  actIn(other);
  linkTo(other);
  const [isSwitching, setSwitching] = useState(false);
  const [isDark, turn] = useMode();
  const [isLive, setLive] = useState(false);
  const [isOpen, setOpen] = useState(true);
  useEffect(() => onLive(setLive), []);
  useEffect(() => {
    localStorage.setItem("portside-region", region);
    follow(region, other);
  }, [region, other]);
  const title = place.path.length ? place.path.map((part) => WORDS[part] ?? part).join(" / ") : "Overview";
  useEffect(() => {
    document.title = `${title} – Portside`;
  }, [title]);
  const go = (wanted: string) => {
    linkTo(wanted === about.account ? "" : wanted);
    location.hash = hrefOf(place.path.slice(0, 1), region);
  };
  const crumbs = place.path.map((part, at) => ({
    text: WORDS[part] ?? part,
    // A cluster's tasks and services have no page of their own: the cluster's page has them, and its dashboard.
    href: hrefOf(place.path.slice(0, at + ((at === 2 || at === 4) && ["clusters", "insights"].includes(place.path[0] ?? "") ? 0 : 1)), region),
  }));
  return (
    <HereContext.Provider value={{ about: { ...about, account }, region, place }}>
      <div id="top">
        <TopNavigation
          identity={{ href: hrefOf([], region), title: "Portside" }}
          utilities={[
            {
              type: "button",
              text: isLive ? "Live" : "Not connected",
              iconName: isLive ? "status-positive" : "status-warning",
              ariaLabel: isLive ? "What is shown is followed live" : "Not connected: what is shown may be old",
              disableUtilityCollapse: true,
            },
            {
              type: "menu-dropdown",
              text: region,
              ariaLabel: `Region: ${region}`,
              items: REGIONS.map(([id, words]) => ({
                id,
                text: `${words} (${id})`,
                description: about.places[account]?.includes(id) ? "Something is here" : undefined,
              })),
              onItemClick: ({ detail }) => {
                location.hash = hrefOf(place.path.slice(0, 1), detail.id);
              },
            },
            { type: "button", text: isDark ? "Light" : "Dark", ariaLabel: `Turn ${isDark ? "light" : "dark"}`, onClick: turn },
            about.identity
              ? {
                  type: "menu-dropdown",
                  text: account,
                  ariaLabel: `Account: ${account}`,
                  description: `${nameOf(about.identity.split(":").pop())}, until ${time(about.endsAt)}`,
                  items: [{ id: "sign-out", text: "Sign out" }],
                  onItemClick: () => void signOut().then(onSignedOut),
                }
              : {
                  type: "menu-dropdown",
                  text: account,
                  ariaLabel: `Account: ${account}`,
                  items: [
                    ...[...new Set([about.account, ...Object.keys(about.places), account])].map((id) => ({ id, text: id })),
                    { id: "other", text: "Another account" },
                  ],
                  onItemClick: ({ detail }) => (detail.id === "other" ? setSwitching(true) : go(detail.id)),
                },
          ]}
        />
      </div>
      <AppLayout
        headerSelector="#top"
        toolsHide
        navigationWidth={220}
        navigationOpen={isOpen}
        onNavigationChange={({ detail }) => setOpen(detail.open)}
        ariaLabels={{ navigation: "Pages", navigationClose: "Close the pages", navigationToggle: "Open the pages" }}
        breadcrumbs={<BreadcrumbGroup items={[{ text: "Portside", href: hrefOf([], region) }, ...crumbs]} ariaLabel="Where you are" />}
        navigation={
          <SideNavigation
            header={{ text: "Containers", href: hrefOf([], region) }}
            activeHref={hrefOf(place.path.slice(0, 1).map((part) => UNDER[part] ?? part), region)}
            items={[
              { type: "link", text: "Overview", href: hrefOf([], region) },
              { type: "link", text: "Problems", href: hrefOf(["problems"], region) },
              { type: "link", text: "Clusters", href: hrefOf(["clusters"], region) },
              { type: "link", text: "Services", href: hrefOf(["services"], region) },
              { type: "link", text: "Tasks", href: hrefOf(["tasks"], region) },
              { type: "link", text: "Task definitions", href: hrefOf(["task-definitions"], region) },
              { type: "link", text: "Load balancers", href: hrefOf(["load-balancers"], region) },
              { type: "link", text: "Networks", href: hrefOf(["networks"], region) },
              { type: "link", text: "Volumes", href: hrefOf(["volumes"], region) },
              { type: "link", text: "Images", href: hrefOf(["images"], region) },
              { type: "link", text: "Log groups", href: hrefOf(["log-groups"], region) },
              { type: "link", text: "Logs Insights", href: hrefOf(["logs-insights"], region) },
              { type: "link", text: "Metrics", href: hrefOf(["metrics"], region) },
              { type: "link", text: "Alarms", href: hrefOf(["alarms"], region) },
              { type: "link", text: "Container Insights", href: hrefOf(["insights"], region) },
              { type: "divider" },
              { type: "link", text: "Roles", href: hrefOf(["roles"], region) },
              { type: "link", text: "Secrets", href: hrefOf(["secrets"], region) },
              { type: "link", text: "Parameters", href: hrefOf(["parameters"], region) },
              { type: "link", text: "Certificates", href: hrefOf(["certificates"], region) },
              { type: "divider" },
              { type: "link", text: "Account settings", href: hrefOf(["settings"], region) },
            ]}
          />
        }
        content={
          <Suspense key={`${place.path.join("/")} ${region} ${account}`} fallback={<Spinner size="large" />}>
            {page(place.path)}
          </Suspense>
        }
      />
      {isSwitching && (
        <Suspense fallback={null}>
          <SwitchAccount onChosen={go} onClose={() => setSwitching(false)} />
        </Suspense>
      )}
    </HereContext.Provider>
  );
}
