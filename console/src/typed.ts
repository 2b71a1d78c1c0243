/** Whether what was typed into a field is what the field asks for. */

export const isPort = (text: string) => /^\d{1,5}$/.test(text) && Number(text) > 0 && Number(text) < 65536;

/** A count, of tasks or seconds. */
export const isWhole = (text: string) => /^\d{1,6}$/.test(text);

/** A count from one on. */
export const isUpTo = (text: string, most: number) => isWhole(text) && Number(text) >= 1 && Number(text) <= most;

/** A block of IPv4 addresses, as far as its form goes. */
export const isBlock = (text: string) => /^(\d{1,3}\.){3}\d{1,3}\/\d{1,2}$/.test(text);

/** The name of a load balancer or a target group. */
export const isBalancerName = (text: string) => /^[A-Za-z0-9](?:[A-Za-z0-9-]{0,30}[A-Za-z0-9])?$/.test(text);
