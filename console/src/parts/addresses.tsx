/** Elastic addresses, with what has them. */

import Button from "@cloudscape-design/components/button";
import { useState } from "react";
import { type Address, addresses } from "../api/ec2";
import { useLive } from "../api/live";
import { useHere } from "../context";
import { Act } from "./act";
import { List } from "./list";

export function AddressList() {
  const { region } = useHere();
  const live = useLive(() => addresses(region), { kinds: ["elastic_address", "eni"] }, [region]);
  const [isNew, setNew] = useState(false);
  const [released, setReleased] = useState<Address>();
  return (
    <>
      <List<Address>
        title="Elastic addresses"
        noun="address"
        live={live}
        keyOf={(each) => each.AllocationId}
        empty="No address"
        actions={<Button onClick={() => setNew(true)}>Allocate an address</Button>}
        columns={[
          { id: "address", header: "Address", cell: (each) => each.PublicIp, sortingField: "PublicIp", isRowHeader: true },
          { id: "id", header: "Allocation", cell: (each) => each.AllocationId },
          { id: "eni", header: "Interface", cell: (each) => each.NetworkInterfaceId || "Free" },
          { id: "private", header: "Address in its VPC", cell: (each) => each.PrivateIpAddress || "–" },
          {
            id: "release",
            header: "Change",
            cell: (each) => (
              <Button variant="inline-link" ariaLabel={`Release ${each.PublicIp}`} onClick={() => setReleased(each)}>
                Release
              </Button>
            ),
          },
        ]}
      />
      {isNew && (
        <Act
          title="Allocate an address"
          word="Allocate"
          service="ec2"
          operation="AllocateAddress"
          parameters={{ Domain: "vpc" }}
          onClose={() => setNew(false)}
        >
          A public address that the account keeps, for an interface or a NAT gateway.
        </Act>
      )}
      {released && (
        <Act
          title={`Release ${released.PublicIp}?`}
          word="Release"
          service="ec2"
          operation="ReleaseAddress"
          parameters={{ AllocationId: released.AllocationId }}
          onClose={() => setReleased(undefined)}
        >
          It may be given to somebody else. One that is in use can not be released.
        </Act>
      )}
    </>
  );
}
