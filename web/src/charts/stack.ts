/** Sums of the series up to each one, so that each stands upon those before it. */
export function stack(values: (number | null)[][]): number[][] {
  const sums: number[] = [];
  return values.map((series) =>
    series.map((value, at) => {
      sums[at] = (sums[at] ?? 0) + (value ?? 0);
      return sums[at];
    }),
  );
}
