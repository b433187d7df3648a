/** A whole number that somebody typed; nothing typed is no bound. */
export function wholeNumber(text: string, least = 0): { value: number | null; wrong: string | null } {
  const given = text.trim().replaceAll(/[,_ ]/g, "");
  if (given === "") return { value: null, wrong: null };
  if (!/^\d{1,10}$/.test(given)) return { value: null, wrong: "A whole number is needed." };
  const value = Number(given);
  if (value < least) return { value: null, wrong: `At least ${least}.` };
  if (value > 1_000_000_000) return { value: null, wrong: "At most 1,000,000,000." };
  return { value, wrong: null };
}
