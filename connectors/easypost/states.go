package easypost

import "strings"

// stateCode returns the two-letter code of a state or province of the United
// States or Canada that a cart spelled out; anything else comes back as it is,
// for the warehouse to judge. Codes: USPS Publication 28 and Canada Post.
func stateCode(country, state string) string {
	var names map[string]string
	switch country {
	case "US":
		names = usStates()
	case "CA":
		names = provinces()
	default:
		return state
	}
	if len(state) == 2 {
		return strings.ToUpper(state)
	}
	plain := strings.ToLower(strings.Join(strings.Fields(strings.ReplaceAll(state, ".", "")), " "))
	if code, ok := names[plain]; ok {
		return code
	}
	return state
}

func usStates() map[string]string {
	return map[string]string{
		"alabama": "AL", "alaska": "AK", "arizona": "AZ", "arkansas": "AR", "california": "CA", "colorado": "CO",
		"connecticut": "CT", "delaware": "DE", "district of columbia": "DC", "washington dc": "DC", "florida": "FL",
		"georgia": "GA", "hawaii": "HI", "idaho": "ID", "illinois": "IL", "indiana": "IN", "iowa": "IA", "kansas": "KS",
		"kentucky": "KY", "louisiana": "LA", "maine": "ME", "maryland": "MD", "massachusetts": "MA", "michigan": "MI",
		"minnesota": "MN", "mississippi": "MS", "missouri": "MO", "montana": "MT", "nebraska": "NE", "nevada": "NV",
		"new hampshire": "NH", "new jersey": "NJ", "new mexico": "NM", "new york": "NY", "north carolina": "NC",
		"north dakota": "ND", "ohio": "OH", "oklahoma": "OK", "oregon": "OR", "pennsylvania": "PA", "rhode island": "RI",
		"south carolina": "SC", "south dakota": "SD", "tennessee": "TN", "texas": "TX", "utah": "UT", "vermont": "VT",
		"virginia": "VA", "washington": "WA", "west virginia": "WV", "wisconsin": "WI", "wyoming": "WY",
		"puerto rico": "PR", "guam": "GU", "american samoa": "AS", "northern mariana islands": "MP",
		"virgin islands": "VI", "us virgin islands": "VI",
		"armed forces americas": "AA", "armed forces europe": "AE", "armed forces pacific": "AP",
	}
}

func provinces() map[string]string {
	return map[string]string{
		"alberta": "AB", "british columbia": "BC", "manitoba": "MB", "new brunswick": "NB",
		"newfoundland": "NL", "newfoundland and labrador": "NL", "nova scotia": "NS", "northwest territories": "NT",
		"nunavut": "NU", "ontario": "ON", "prince edward island": "PE", "quebec": "QC", "québec": "QC",
		"saskatchewan": "SK", "yukon": "YT", "yukon territory": "YT",
	}
}
