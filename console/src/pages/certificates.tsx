/** Certificates: requested of the instance's own authority, imported, deleted. */

import Alert from "@cloudscape-design/components/alert";
import Button from "@cloudscape-design/components/button";
import ColumnLayout from "@cloudscape-design/components/column-layout";
import Container from "@cloudscape-design/components/container";
import FormField from "@cloudscape-design/components/form-field";
import Header from "@cloudscape-design/components/header";
import Input from "@cloudscape-design/components/input";
import Link from "@cloudscape-design/components/link";
import SpaceBetween from "@cloudscape-design/components/space-between";
import Textarea from "@cloudscape-design/components/textarea";
import { useState } from "react";
import { blob, certificate as readCertificate, isPem, namesOf } from "../api/certificates";
import { type Certificate, certificates } from "../api/elb";
import { useLive } from "../api/live";
import { useHere } from "../context";
import { nameOf, time } from "../format";
import { Act } from "../parts/act";
import { Fact } from "../parts/fact";
import { List } from "../parts/list";
import { Status } from "../parts/status";
import { Tags } from "../parts/tags";

const SERVICE = "acm";
const KINDS = { kinds: ["certificate"] };

export function Certificates() {
  const { region, to } = useHere();
  const live = useLive(() => certificates(region), KINDS, [region]);
  const [shown, setShown] = useState<"" | "request" | "import">("");
  return (
    <>
      <List<Certificate>
        title="Certificates"
        noun="certificate"
        live={live}
        keyOf={(each) => each.CertificateArn}
        description="Listeners of HTTPS and TLS have them"
        actions={
          <SpaceBetween direction="horizontal" size="xs">
            <Button onClick={() => setShown("import")}>Import</Button>
            <Button variant="primary" onClick={() => setShown("request")}>
              Request
            </Button>
          </SpaceBetween>
        }
        columns={[
          {
            id: "domain",
            header: "Domain",
            cell: (each) => <Link href={to(["certificates", nameOf(each.CertificateArn)])}>{each.DomainName}</Link>,
            sortingField: "DomainName",
            isRowHeader: true,
          },
          { id: "status", header: "Status", cell: (each) => <Status of={each.Status} /> },
          { id: "type", header: "From", cell: (each) => (each.Type === "IMPORTED" ? "Imported" : "The instance's authority") },
          { id: "use", header: "In use", cell: (each) => (each.InUse ? "Yes" : "No") },
          { id: "end", header: "Expires", cell: (each) => time(each.NotAfter), sortingField: "NotAfter", minWidth: 170 },
        ]}
      />
      {shown === "request" && <RequestCertificate onClose={() => setShown("")} />}
      {shown === "import" && <ImportCertificate onClose={() => setShown("")} />}
    </>
  );
}

interface Made {
  CertificateArn: string;
}

function RequestCertificate({ onClose }: { onClose: () => void }) {
  const { to } = useHere();
  const [domain, setDomain] = useState("");
  const [others, setOthers] = useState("");
  const names = namesOf(others);
  return (
    <Act<Made>
      title="Request a certificate"
      word="Request"
      service={SERVICE}
      operation="RequestCertificate"
      parameters={{ DomainName: domain, SubjectAlternativeNames: names.length ? names : undefined, ValidationMethod: "DNS" }}
      isReady={domain !== ""}
      onClose={onClose}
      onDone={({ CertificateArn }) => {
        location.hash = to(["certificates", nameOf(CertificateArn)]);
      }}
    >
      The instance's own authority issues it at once; clients trust it that trust that one.
      <FormField label="Domain">
        <Input value={domain} placeholder="shop.test" onChange={({ detail }) => setDomain(detail.value)} />
      </FormField>
      <FormField label="Other names" description="One a line">
        <Textarea value={others} rows={2} spellcheck={false} onChange={({ detail }) => setOthers(detail.value)} />
      </FormField>
    </Act>
  );
}

function ImportCertificate({ onClose }: { onClose: () => void }) {
  const { to } = useHere();
  const [body, setBody] = useState("");
  const [key, setKey] = useState("");
  const [chain, setChain] = useState("");
  const isBody = isPem(body, "CERTIFICATE");
  const isKey = isPem(key, "PRIVATE KEY");
  const isChain = chain.trim() === "" || isPem(chain, "CERTIFICATE");
  const wrong = (text: string, isRight: boolean) => (text === "" || isRight ? undefined : "A block of PEM: -----BEGIN …");
  return (
    <Act<Made>
      title="Import a certificate"
      word="Import"
      size="large"
      service={SERVICE}
      operation="ImportCertificate"
      parameters={{ Certificate: blob(body), PrivateKey: blob(key), CertificateChain: chain.trim() ? blob(chain) : undefined }}
      shown={{
        Certificate: "fileb://certificate.pem",
        PrivateKey: "fileb://key.pem",
        CertificateChain: chain.trim() ? "fileb://chain.pem" : undefined,
      }}
      isReady={isBody && isKey && isChain}
      onClose={onClose}
      onDone={({ CertificateArn }) => {
        location.hash = to(["certificates", nameOf(CertificateArn)]);
      }}
    >
      <FormField label="Certificate" errorText={wrong(body, isBody)} stretch>
        <Textarea value={body} rows={4} spellcheck={false} onChange={({ detail }) => setBody(detail.value)} />
      </FormField>
      <FormField label="Private key" description="Not encrypted" errorText={wrong(key, isKey)} stretch>
        <Textarea value={key} rows={4} spellcheck={false} onChange={({ detail }) => setKey(detail.value)} />
      </FormField>
      <FormField label="Chain" description="From the one that issued it up" errorText={wrong(chain.trim(), isChain)} stretch>
        <Textarea value={chain} rows={4} spellcheck={false} onChange={({ detail }) => setChain(detail.value)} />
      </FormField>
    </Act>
  );
}

export function CertificatePage({ id }: { id: string }) {
  const { about, region, to } = useHere();
  const arn = `arn:aws:acm:${region}:${about.account}:certificate/${id}`;
  const live = useLive(() => readCertificate(region, arn), { kinds: ["certificate", "listener"] }, [region, arn]);
  const [isDeleting, setDeleting] = useState(false);
  const found = live.value;
  if (live.error) return <Alert type="error">{live.error.message}</Alert>;
  const users = found?.InUseBy ?? [];
  return (
    <SpaceBetween size="l">
      <Header
        variant="h1"
        description={arn}
        actions={
          <Button disabled={!found} onClick={() => setDeleting(true)}>
            Delete
          </Button>
        }
      >
        {found?.DomainName ?? id}
      </Header>
      <Container>
        <ColumnLayout columns={4} variant="text-grid" minColumnWidth={150}>
          <Fact label="Status">
            <Status of={found?.Status} />
          </Fact>
          <Fact label="Names">{found?.SubjectAlternativeNames?.join(", ") || "–"}</Fact>
          <Fact label="From">{found ? (found.Type === "IMPORTED" ? "Imported" : "The instance's authority") : "–"}</Fact>
          <Fact label="Issued by">{found?.Issuer ?? "–"}</Fact>
          <Fact label="Key">{found?.KeyAlgorithm ?? "–"}</Fact>
          <Fact label="Holds from">{time(found?.NotBefore)}</Fact>
          <Fact label="Expires">{time(found?.NotAfter)}</Fact>
          <Fact label="Used by">
            {users.length
              ? users.map((each) => (
                  <div key={each}>
                    <Link href={to(["load-balancers", each.split("/")[2] ?? each])}>{each.split("/")[2] ?? each}</Link>
                  </div>
                ))
              : "Nobody"}
          </Fact>
        </ColumnLayout>
      </Container>
      {found && <Tags service="acm" of={arn} name={found.DomainName} kinds={["certificate"]} />}
      {isDeleting && (
        <Act
          title={`Delete the certificate of ${found?.DomainName}?`}
          word="Delete"
          service={SERVICE}
          operation="DeleteCertificate"
          parameters={{ CertificateArn: arn }}
          onClose={() => setDeleting(false)}
          onDone={() => {
            location.hash = to(["certificates"]);
          }}
        >
          {users.length ? "One that a listener has can not be deleted." : "It goes with its key, for good."}
        </Act>
      )}
    </SpaceBetween>
  );
}
