/** The certificates of a listener of HTTPS or TLS, and the forms that add, remove and choose the default one. */

import Alert from "@cloudscape-design/components/alert";
import Button from "@cloudscape-design/components/button";
import FormField from "@cloudscape-design/components/form-field";
import Header from "@cloudscape-design/components/header";
import Multiselect from "@cloudscape-design/components/multiselect";
import SpaceBetween from "@cloudscape-design/components/space-between";
import Table from "@cloudscape-design/components/table";
import { useState } from "react";
import { type Certificate, type Listener, type ListenerCertificate, listenerCertificates } from "../api/elb";
import { useLive } from "../api/live";
import { useHere } from "../context";
import { Act } from "./act";

/** Args: all: of the region. */
export function ListenerCertificates({ listener, all }: { listener: Listener; all: readonly Certificate[] }) {
  const { region } = useHere();
  const live = useLive(() => listenerCertificates(region, listener.arn), { kinds: ["listener", "certificate"] }, [region, listener.arn]);
  const [isNew, setNew] = useState(false);
  const [preferred, setPreferred] = useState<string>();
  const [removed, setRemoved] = useState<string>();
  const found = live.value ?? [];
  const domain = (arn: string) => all.find((each) => each.CertificateArn === arn)?.DomainName ?? arn;
  const port = `${listener.protocol} ${listener.port}`;
  const free = all.filter((each) => !found.some((one) => one.CertificateArn === each.CertificateArn));
  return (
    <>
      {live.error && <Alert type="error">{live.error.message}</Alert>}
      <Table<ListenerCertificate>
        variant="embedded"
        wrapLines
        header={
          <Header
            variant="h3"
            counter={live.value && `(${found.length})`}
            description="By the name that a client asks for; the default one where none fits"
            actions={
              <Button ariaLabel={`Add certificates to ${port}`} onClick={() => setNew(true)}>
                Add certificates
              </Button>
            }
          >
            Certificates
          </Header>
        }
        ariaLabels={{ tableLabel: `Certificates of ${port}` }}
        items={found}
        trackBy={(each) => `${each.CertificateArn} ${each.IsDefault}`}
        loading={live.value === undefined && !live.error}
        loadingText="Reading the certificates"
        columnDefinitions={[
          { id: "domain", header: "Domain", cell: (each) => domain(each.CertificateArn), isRowHeader: true },
          { id: "default", header: "Default", cell: (each) => (each.IsDefault ? "Default" : "–"), width: 110 },
          { id: "arn", header: "Certificate", cell: (each) => each.CertificateArn },
          {
            id: "change",
            header: "Change",
            width: 220,
            cell: (each) =>
              each.IsDefault ? (
                "–"
              ) : (
                <SpaceBetween direction="horizontal" size="s">
                  <Button
                    variant="inline-link"
                    ariaLabel={`Make default: ${domain(each.CertificateArn)}`}
                    onClick={() => setPreferred(each.CertificateArn)}
                  >
                    Make default
                  </Button>
                  <Button
                    variant="inline-link"
                    ariaLabel={`Remove ${domain(each.CertificateArn)}`}
                    onClick={() => setRemoved(each.CertificateArn)}
                  >
                    Remove
                  </Button>
                </SpaceBetween>
              ),
          },
        ]}
      />
      {isNew && <AddCertificates listener={listener} free={free} onClose={() => setNew(false)} />}
      {preferred && (
        <Act
          title={`Make ${domain(preferred)} the default of ${port}?`}
          word="Make default"
          service="elbv2"
          operation="ModifyListener"
          parameters={{ ListenerArn: listener.arn, Certificates: [{ CertificateArn: preferred }] }}
          onClose={() => setPreferred(undefined)}
        >
          Clients see it that ask for no name, or for one that no certificate has. The default one of now is not the listener's any more,
          unless it was added, too.
        </Act>
      )}
      {removed && (
        <Act
          title={`Remove ${domain(removed)} from ${port}?`}
          word="Remove"
          service="elbv2"
          operation="RemoveListenerCertificates"
          parameters={{ ListenerArn: listener.arn, Certificates: [{ CertificateArn: removed }] }}
          onClose={() => setRemoved(undefined)}
        >
          Clients that ask for its names are shown the default one. The certificate itself stays.
        </Act>
      )}
    </>
  );
}

function AddCertificates(props: { listener: Listener; free: readonly Certificate[]; onClose: () => void }) {
  const [chosen, setChosen] = useState<readonly string[]>([]);
  const [error, setError] = useState<Error>();
  const options = props.free.map((each) => ({ value: each.CertificateArn, label: each.DomainName, description: each.CertificateArn }));
  return (
    <Act
      title={`Add certificates to ${props.listener.protocol} ${props.listener.port}`}
      word="Add"
      service="elbv2"
      operation="AddListenerCertificates"
      parameters={{ ListenerArn: props.listener.arn, Certificates: chosen.map((each) => ({ CertificateArn: each })) }}
      isReady={chosen.length > 0}
      onError={setError}
      onClose={props.onClose}
    >
      <FormField label="Certificates" errorText={error?.message}>
        <Multiselect
          selectedOptions={options.filter((each) => chosen.includes(each.value))}
          options={options}
          onChange={({ detail }) => {
            setChosen(detail.selectedOptions.map((each) => each.value ?? ""));
            setError(undefined);
          }}
          placeholder="Choose some"
          empty="No other certificate in this region: aws acm request-certificate, or import-certificate"
        />
      </FormField>
    </Act>
  );
}
