/** A span of time, chosen: until now, or between two times. */

import DateRangePicker, { type DateRangePickerProps } from "@cloudscape-design/components/date-range-picker";
import { isRelative, iso, type Span } from "../span";

const RELATIVE: DateRangePickerProps.RelativeOption[] = [
  { key: "15m", amount: 15, unit: "minute", type: "relative" },
  { key: "1h", amount: 1, unit: "hour", type: "relative" },
  { key: "3h", amount: 3, unit: "hour", type: "relative" },
  { key: "12h", amount: 12, unit: "hour", type: "relative" },
  { key: "1d", amount: 1, unit: "day", type: "relative" },
  { key: "3d", amount: 3, unit: "day", type: "relative" },
  { key: "1w", amount: 1, unit: "week", type: "relative" },
];

const SECONDS: Record<string, number> = { second: 1, minute: 60, hour: 3600, day: 86400, week: 604800 };
const LONGEST = 99_999 * 60;

const INVALID: DateRangePickerProps.ValidationResult = { valid: false, errorMessage: "It must end after it begins." };

export function SpanPicker({ span, onChange }: { span: Span; onChange: (span: Span) => void }) {
  return (
    <DateRangePicker
      value={valueOf(span)}
      relativeOptions={RELATIVE}
      showClearButton={false}
      placeholder="A span of time"
      ariaLabel="Span of time"
      i18nStrings={{
        formatRelativeRange: ({ amount, unit }) => `Last ${amount === 1 ? "" : `${amount} `}${unit}${amount === 1 ? "" : "s"}`,
        formatUnit: (unit, amount) => (amount === 1 ? unit : `${unit}s`),
      }}
      isValidRange={(value) => {
        if (value === null) return INVALID;
        const found = spanOfValue(value);
        return found !== undefined && (isRelative(found) ? found.seconds > 0 && found.seconds <= LONGEST : found.from < found.to)
          ? { valid: true }
          : INVALID;
      }}
      onChange={({ detail }) => {
        const found = detail.value && spanOfValue(detail.value);
        if (found) onChange(found);
      }}
    />
  );
}

function valueOf(span: Span): DateRangePickerProps.Value {
  if (!isRelative(span)) return { type: "absolute", startDate: iso(span.from), endDate: iso(span.to) };
  const unit = (["week", "day", "hour", "minute"] as const).find((each) => span.seconds % (SECONDS[each] ?? 1) === 0) ?? "second";
  const amount = span.seconds / (SECONDS[unit] ?? 1);
  const known = RELATIVE.find((each) => each.amount === amount && each.unit === unit);
  return { type: "relative", amount, unit, key: known?.key };
}

function spanOfValue(value: DateRangePickerProps.Value): Span | undefined {
  if (value.type === "relative") return { seconds: value.amount * (SECONDS[value.unit] ?? 1) };
  const from = Date.parse(value.startDate) / 1000;
  const to = Date.parse(value.endDate) / 1000;
  return Number.isFinite(from) && Number.isFinite(to) ? { from, to } : undefined;
}
