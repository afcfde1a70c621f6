package simulator

// The resources, in the shapes of wire/tradegecko.md section 8. What an object
// shows and what the journal keeps is the same JSON; unexported fields are
// links and sums that are made again after a reload.

type kind string

const (
	kindAccount        kind = "account"
	kindOrder          kind = "order"
	kindLine           kind = "order_line_item"
	kindAddress        kind = "address"
	kindCompany        kind = "company"
	kindContact        kind = "contact"
	kindProduct        kind = "product"
	kindVariant        kind = "variant"
	kindLocation       kind = "location"
	kindFulfillment    kind = "fulfillment"
	kindFulfilledLine  kind = "fulfillment_line_item"
	kindAdjustment     kind = "stock_adjustment"
	kindAdjustmentLine kind = "stock_adjustment_line_item"
	kindWebhook        kind = "webhook"
)

// numbered are the kinds that get ids, in the order their first ids are dealt.
var numbered = [...]kind{kindAccount, kindOrder, kindLine, kindAddress, kindCompany, kindContact, kindProduct, kindVariant,
	kindLocation, kindFulfillment, kindFulfilledLine, kindAdjustment, kindAdjustmentLine, kindWebhook}

// row is what every object of a collection can tell.
type row interface {
	rowID() int64
	created() stamp
	updated() stamp
}

type base struct {
	ID        int64 `json:"id"`
	CreatedAt stamp `json:"created_at"`
	UpdatedAt stamp `json:"updated_at"`
}

func (b *base) rowID() int64   { return b.ID }
func (b *base) created() stamp { return b.CreatedAt }
func (b *base) updated() stamp { return b.UpdatedAt }

// Order statuses (wire/tradegecko.md section 9.1).
const (
	statusDraft     = "draft"
	statusActive    = "active"
	statusFinalized = "finalized"
	statusFulfilled = "fulfilled"
	statusVoid      = "void"
	statusDeleted   = "deleted"
	// and of other objects
	statusPacked   = "packed"
	statusArchived = "archived"
)

var (
	orderStatuses       = [...]string{statusDraft, statusActive, statusFinalized, statusFulfilled, statusVoid, statusDeleted}
	fulfillmentStatuses = [...]string{"unshipped", "partial", "shipped"}
	packedStatuses      = [...]string{"unpacked", "partial", "packed"}
)

type order struct {
	base
	OrderNumber         string            `json:"order_number"`
	ReferenceNumber     *string           `json:"reference_number"`
	Status              string            `json:"status"`
	PaymentStatus       string            `json:"payment_status"`
	InvoiceStatus       string            `json:"invoice_status"`
	PackedStatus        string            `json:"packed_status"`
	FulfillmentStatus   string            `json:"fulfillment_status"`
	ReturnStatus        string            `json:"return_status"`
	ReturningStatus     string            `json:"returning_status"`
	ShippabilityStatus  string            `json:"shippability_status"`
	BackorderingStatus  string            `json:"backordering_status"`
	IssuedAt            *string           `json:"issued_at"`
	ShipAt              *string           `json:"ship_at"`
	DueAt               *string           `json:"due_at"`
	CompanyID           int64             `json:"company_id"`
	ContactID           *int64            `json:"contact_id"`
	ShippingAddressID   *int64            `json:"shipping_address_id"`
	BillingAddressID    *int64            `json:"billing_address_id"`
	StockLocationID     *int64            `json:"stock_location_id"`
	UserID              int64             `json:"user_id"`
	AssigneeID          *int64            `json:"assignee_id"`
	CurrencyID          int64             `json:"currency_id"`
	Email               *string           `json:"email"`
	PhoneNumber         *string           `json:"phone_number"`
	Notes               *string           `json:"notes"`
	Tags                []string          `json:"tags"`
	TaxTreatment        string            `json:"tax_treatment"`
	TaxType             string            `json:"tax_type"`
	TaxLabel            *string           `json:"tax_label"`
	TaxOverride         *string           `json:"tax_override"`
	Total               any               `json:"total"` // amount, or the number 0 without lines
	CachedTotal         any               `json:"cached_total"`
	DefaultPriceListID  string            `json:"default_price_list_id"`
	DefaultPriceTypeID  string            `json:"default_price_type_id"`
	SourceID            *int64            `json:"source_id"`
	Source              *string           `json:"source"`
	SourceURL           *string           `json:"source_url"`
	URL                 *string           `json:"url"`
	DocumentURL         string            `json:"document_url"`
	TrackingNumber      *string           `json:"tracking_number"`
	LineIDs             []int64           `json:"order_line_item_ids"`
	FulfillmentIDs      []int64           `json:"fulfillment_ids"`
	FulfillmentReturnID []int64           `json:"fulfillment_return_ids"`
	InvoiceIDs          []int64           `json:"invoice_ids"`
	PaymentIDs          []int64           `json:"payment_ids"`
	RefundIDs           []int64           `json:"refund_ids"`
	Invoices            []int64           `json:"invoices"`
	InvoiceNumbers      map[string]string `json:"invoice_numbers"`

	lines        []*line        // by position
	fulfillments []*fulfillment // oldest first, deleted ones too
	commitments  []commitment   // stock that this order holds
	filed        *timeline
	filedAt      stamp
}

// commitment is stock set aside for an order.
type commitment struct {
	variant  *variant
	location int64
	quantity amount
}

type line struct {
	base
	OrderID           int64   `json:"order_id"`
	VariantID         *int64  `json:"variant_id"`
	Quantity          amount  `json:"quantity"`
	Price             amount  `json:"price"`
	Discount          *amount `json:"discount"`
	DiscountAmount    *amount `json:"discount_amount"`
	TaxTypeID         *int64  `json:"tax_type_id"`
	TaxRateOverride   *amount `json:"tax_rate_override"`
	TaxRate           *amount `json:"tax_rate"`
	Freeform          bool    `json:"freeform"`
	Label             *string `json:"label"`
	LineType          *string `json:"line_type"`
	Shippable         bool    `json:"shippable"`
	Position          int64   `json:"position"`
	ImageURL          *string `json:"image_url"`
	FulfilledLineIDs  []int64 `json:"fulfillment_line_item_ids"`
	ReturnLineIDs     []int64 `json:"fulfillment_return_line_item_ids"`
	InvoiceLineIDs    []int64 `json:"invoice_line_item_ids"`
	packed, fulfilled amount  // on packed or fulfilled, and on fulfilled fulfillments
}

// ships reports whether the line counts towards what has to be shipped.
func (l *line) ships() bool { return !l.Freeform && l.VariantID != nil && l.Shippable }

// value is the net price of the whole line (wire/tradegecko.md section 8.2).
func (l *line) value() amount {
	price := l.Price
	switch {
	case l.DiscountAmount != nil && *l.DiscountAmount != 0:
		price -= *l.DiscountAmount
	case l.Discount != nil:
		price -= price.muldiv(*l.Discount, 100*one)
	}
	return price.times(l.Quantity)
}

type address struct {
	base
	CompanyID   int64   `json:"company_id"`
	Label       *string `json:"label"`
	FirstName   *string `json:"first_name"`
	LastName    *string `json:"last_name"`
	CompanyName *string `json:"company_name"`
	Address1    *string `json:"address1"`
	Address2    *string `json:"address2"`
	Suburb      *string `json:"suburb"`
	City        *string `json:"city"`
	State       *string `json:"state"`
	ZipCode     *string `json:"zip_code"`
	Country     *string `json:"country"`
	CountryCode *string `json:"country_code"`
	PhoneNumber *string `json:"phone_number"`
	Email       *string `json:"email"`
	Status      string  `json:"status"`
}

type company struct {
	base
	Name                   string   `json:"name"`
	CompanyType            string   `json:"company_type"`
	CompanyCode            *string  `json:"company_code"`
	Email                  *string  `json:"email"`
	PhoneNumber            *string  `json:"phone_number"`
	Fax                    *string  `json:"fax"`
	Website                *string  `json:"website"`
	Description            *string  `json:"description"`
	TaxNumber              *string  `json:"tax_number"`
	Status                 string   `json:"status"`
	Tags                   []string `json:"tags"`
	AssigneeID             *int64   `json:"assignee_id"`
	DefaultLedgerAccountID *int64   `json:"default_ledger_account_id"`
	DefaultPaymentMethodID *int64   `json:"default_payment_method_id"`
	DefaultPaymentTermID   *int64   `json:"default_payment_term_id"`
	DefaultStockLocationID *int64   `json:"default_stock_location_id"`
	DefaultTaxTypeID       *int64   `json:"default_tax_type_id"`
	DefaultPriceListID     *string  `json:"default_price_list_id"`
	DefaultDiscountRate    *amount  `json:"default_discount_rate"`
	AddressIDs             []int64  `json:"address_ids"`
	ContactIDs             []int64  `json:"contact_ids"`
	NoteIDs                []int64  `json:"note_ids"`
}

type contact struct {
	base
	CompanyID      int64   `json:"company_id"`
	FirstName      string  `json:"first_name"`
	LastName       *string `json:"last_name"`
	Email          *string `json:"email"`
	PhoneNumber    *string `json:"phone_number"`
	Phone          *string `json:"phone"`
	Mobile         *string `json:"mobile"`
	Fax            *string `json:"fax"`
	Position       *string `json:"position"`
	Location       *string `json:"location"`
	Notes          *string `json:"notes"`
	OnlineOrdering bool    `json:"online_ordering"`
	Status         string  `json:"status"`
}

type product struct {
	base
	Name        string  `json:"name"`
	Description *string `json:"description"`
	Brand       *string `json:"brand"`
	ProductType *string `json:"product_type"`
	Tags        *string `json:"tags"`
	Opt1        *string `json:"opt1"`
	Opt2        *string `json:"opt2"`
	Opt3        *string `json:"opt3"`
	Status      string  `json:"status"`
	Quantity    level   `json:"quantity"`
	ImageURL    *string `json:"image_url"`
	ImageIDs    []int64 `json:"image_ids"`
	SupplierIDs []int64 `json:"supplier_ids"`
	VariantIDs  []int64 `json:"variant_ids"`
	Supplier    *string `json:"supplier"`
	Vendor      *string `json:"vendor"`
}

type variant struct {
	base
	ProductID              int64              `json:"product_id"`
	SKU                    *string            `json:"sku"`
	UPC                    *string            `json:"upc"`
	SupplierCode           *string            `json:"supplier_code"`
	Name                   *string            `json:"name"`
	Description            *string            `json:"description"`
	Opt1                   *string            `json:"opt1"`
	Opt2                   *string            `json:"opt2"`
	Opt3                   *string            `json:"opt3"`
	ProductName            string             `json:"product_name"`
	ProductStatus          string             `json:"product_status"`
	ProductType            *string            `json:"product_type"`
	Status                 string             `json:"status"`
	Position               int64              `json:"position"`
	ManageStock            bool               `json:"manage_stock"`
	KeepSelling            bool               `json:"keep_selling"`
	Composite              *bool              `json:"composite"`
	Sellable               bool               `json:"sellable"`
	Purchasable            bool               `json:"purchasable"`
	Taxable                bool               `json:"taxable"`
	OnlineOrdering         *bool              `json:"online_ordering"`
	MaxOnline              *int64             `json:"max_online"`
	StockOnHand            level              `json:"stock_on_hand"`
	CommittedStock         level              `json:"committed_stock"`
	IncomingStock          level              `json:"incoming_stock"`
	AvailableStock         level              `json:"available_stock"`
	Locations              []variantLocation  `json:"locations"`
	BuyPrice               *amount            `json:"buy_price"`
	RetailPrice            *amount            `json:"retail_price"`
	WholesalePrice         *amount            `json:"wholesale_price"`
	VariantPrices          []variantPrice     `json:"variant_prices"`
	LastCostPrice          *amount            `json:"last_cost_price"`
	MovingAverageCost      *level             `json:"moving_average_cost"`
	Weight                 *level             `json:"weight"`
	WeightUnit             *string            `json:"weight_unit"`
	HSCode                 *string            `json:"hs_code"`
	CountryOfOrigin        *string            `json:"country_of_origin"`
	DefaultLedgerAccountID *int64             `json:"default_ledger_account_id"`
	ImageIDs               []int64            `json:"image_ids"`
	Prices                 map[string]*amount `json:"prices"`
	StockLevels            map[string]any     `json:"stock_levels"`
	CommittedStockLevels   map[string]any     `json:"committed_stock_levels"`

	shelves    map[int64]*shelf // by location
	components []component      // of a composite
}

// shelf is the stock of a variant at one location.
type shelf struct{ onHand, committed amount }

// component is a part of a composite variant.
type component struct {
	VariantID int64  `json:"variant_id"`
	Quantity  amount `json:"quantity"`
}

type variantLocation struct {
	LocationID          int64     `json:"location_id"`
	StockOnHand         level     `json:"stock_on_hand"`
	Committed           nullLevel `json:"committed"`
	Incoming            nullLevel `json:"incoming"`
	Available           level     `json:"available"`
	BinLocation         *string   `json:"bin_location"`
	ReorderPoint        *int64    `json:"reorder_point"`
	ProductionCommitted level     `json:"production_committed"`
	ProductionIncoming  level     `json:"production_incoming"`
}

type variantPrice struct {
	PriceListID string  `json:"price_list_id"`
	Value       *amount `json:"value"`
}

type stockLevel struct {
	VariantID      int64           `json:"variant_id"`
	StockOnHand    level           `json:"stock_on_hand"`
	CommittedStock level           `json:"committed_stock"`
	AvailableStock level           `json:"available_stock"`
	IncomingStock  level           `json:"incoming_stock"`
	Locations      []levelLocation `json:"locations"`
}

type levelLocation struct {
	LocationID  int64     `json:"location_id"`
	StockOnHand level     `json:"stock_on_hand"`
	Committed   zeroLevel `json:"committed"`
	Incoming    zeroLevel `json:"incoming"`
}

type composition struct {
	BundleID     int64   `json:"bundle_id"`
	BundleSKU    *string `json:"bundle_sku"`
	ComponentID  int64   `json:"component_id"`
	ComponentSKU *string `json:"component_sku"`
	Quantity     amount  `json:"quantity"`
}

type location struct {
	base
	Label      string  `json:"label"`
	Address1   *string `json:"address1"`
	Address2   *string `json:"address2"`
	Suburb     *string `json:"suburb"`
	City       *string `json:"city"`
	State      *string `json:"state"`
	ZipCode    *string `json:"zip_code"`
	Country    *string `json:"country"`
	HoldsStock bool    `json:"holds_stock"`
	Status     string  `json:"status"`
}

type fulfillment struct {
	base
	OrderID           int64    `json:"order_id"`
	OrderNumber       string   `json:"order_number"`
	CompanyID         int64    `json:"company_id"`
	ShippingAddressID *int64   `json:"shipping_address_id"`
	BillingAddressID  *int64   `json:"billing_address_id"`
	StockLocationID   int64    `json:"stock_location_id"`
	Status            string   `json:"status"`
	DeliveryType      *string  `json:"delivery_type"`
	ExchangeRate      amount   `json:"exchange_rate"`
	Notes             *string  `json:"notes"`
	PackedAt          *string  `json:"packed_at"`
	Receipt           struct{} `json:"receipt"`
	ReceivedAt        stamp    `json:"received_at"`
	Service           *string  `json:"service"`
	ShippedAt         stamp    `json:"shipped_at"`
	TrackingCompany   *string  `json:"tracking_company"`
	TrackingNumber    *string  `json:"tracking_number"`
	TrackingURL       *string  `json:"tracking_url"`
	LineIDs           []int64  `json:"fulfillment_line_item_ids"`

	lines []*fulfilledLine
}

func (f *fulfillment) live() bool { return f.Status == statusPacked || f.Status == statusFulfilled }

type fulfilledLine struct {
	base
	FulfillmentID int64   `json:"fulfillment_id"`
	OrderLineID   int64   `json:"order_line_item_id"`
	Quantity      amount  `json:"quantity"`
	BasePrice     *amount `json:"base_price"`
	Position      int64   `json:"position"`
	VariantID     *int64  `json:"variant_id"`
	VariantSKU    *string `json:"variant_sku"`
}

type adjustment struct {
	base
	AdjustmentNumber        string  `json:"adjustment_number"`
	Reason                  string  `json:"reason"`
	StockAdjustmentReasonID *int64  `json:"stock_adjustment_reason_id"`
	ReasonLabel             string  `json:"reason_label"`
	Notes                   *string `json:"notes"`
	StockLocationID         int64   `json:"stock_location_id"`
	Status                  string  `json:"status"`
	CachedQuantity          amount  `json:"cached_quantity"`
	CachedTotal             amount  `json:"cached_total"`
	LineIDs                 []int64 `json:"stock_adjustment_line_item_ids"`

	lines []*adjustmentLine
}

type adjustmentLine struct {
	base
	StockAdjustmentID int64  `json:"stock_adjustment_id"`
	VariantID         int64  `json:"variant_id"`
	Quantity          amount `json:"quantity"`
	Price             amount `json:"price"`
	Position          int64  `json:"position"`
}

type webhook struct {
	base
	Event              string `json:"event"`
	Address            string `json:"address"`
	OAuthApplicationID int64  `json:"oauth_application_id"`

	failingSince stamp // 0 while deliveries succeed
}

// grant is an OAuth grant: the one refresh token that is good, and the access
// tokens that have not expired.
type grant struct {
	Refresh string           `json:"refresh"`
	Access  map[string]stamp `json:"access"` // token to its end
	Issued  int64            `json:"issued"` // how many were ever dealt
}

// seenKey is a used Idempotency-Key, with its answer when answers are replayed.
type seenKey struct {
	Key    string `json:"key"`
	At     stamp  `json:"at"`
	Status int    `json:"status,omitempty"`
	Body   string `json:"body,omitempty"`
}

// stockRecord is the part of a variant that moves with stock, for the journal.
type stockRecord struct {
	ID      int64            `json:"id"`
	At      stamp            `json:"updated_at"`
	OnHand  map[int64]amount `json:"on_hand"`
	Average *level           `json:"moving_average_cost,omitempty"`
}

// accountRecord holds what an account is besides its collections.
type accountRecord struct {
	ID         int64 `json:"id"`
	UserID     int64 `json:"user_id"`
	CurrencyID int64 `json:"currency_id"`
	AppID      int64 `json:"app_id"`
	CreatedAt  stamp `json:"created_at"`
}
