/** A composite alarm, new or changed: what it makes of the states of other alarms, and what it does. */

import Alert from "@cloudscape-design/components/alert";
import Spinner from "@cloudscape-design/components/spinner";
import { alarm as readAlarm, topics } from "../api/alarms";
import { useLive } from "../api/live";
import { useHere } from "../context";
import { type Members, picked, shapesOf } from "../model";
import { OperationForm } from "../parts/operation-form";

const FIRST = { "": ["AlarmName", "AlarmRule", "AlarmDescription", "AlarmActions", "OKActions", "InsufficientDataActions"] };

export function CompositeAlarmForm() {
  const { region, place, to } = useHere();
  const name = place.query.get("name") ?? "";
  const begun = useLive<Members>(
    async () => {
      if (!name) return { AlarmRule: 'ALARM("one") AND ALARM("another")' };
      const [model, found] = await Promise.all([shapesOf("cloudwatch", "PutCompositeAlarm"), readAlarm(region, name)]);
      if (!found) throw new Error(`There is no alarm ${name} in ${region}.`);
      return picked(model, found) as Members;
    },
    { kinds: [] },
    [region, name],
  );
  const known = useLive(() => topics(region), { kinds: ["topic"] }, [region]);
  if (begun.error) return <Alert type="error">{begun.error.message}</Alert>;
  if (!begun.value) return <Spinner size="large" />;
  const offers = (known.value ?? []).map((value) => ({ value }));
  return (
    <OperationForm
      title={name ? `Change ${name}` : "Create a composite alarm"}
      word="Save"
      service="cloudwatch"
      operation="PutCompositeAlarm"
      initial={begun.value}
      first={FIRST}
      offers={() => ({ AlarmActions: offers, OKActions: offers, InsufficientDataActions: offers })}
      cancel={name ? to(["alarms", name]) : to(["alarms"])}
      onDone={(_answer, value) => to(["alarms", String(value.AlarmName)])}
    />
  );
}
