//! The implementation that the derive writes.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Data, DeriveInput, Error, Result, ext::IdentExt, spanned::Spanned};

use crate::attributes::Attributes;

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    if let Data::Union(data) = &input.data {
        return Err(Error::new(
            data.union_token.span(),
            "a union cannot be an item of a stream",
        ));
    }
    if !input.generics.params.is_empty() {
        return Err(Error::new(
            input.generics.span(),
            "an item's type has no generic parameters: a stream has one type, so derive `Datum` on \
             a type that wraps the concrete one",
        ));
    }
    let attributes = Attributes::of(input)?;
    let Attributes {
        name,
        key,
        opaque,
        krate,
    } = &attributes;
    let ident = &input.ident;
    let private = quote!(#krate::__datum);

    // With the type's own span, "`Reading` is not `Serialize`" points at `Reading`.
    let encode = quote_spanned!(ident.span()=> out.serialize::<Self>(self));
    let decode = quote_spanned!(ident.span()=> payload.postcard::<Self>());
    let show = quote_spanned!(ident.span()=> filters.look::<Self>(self, #krate::Datum::key(self)));
    let schema = if *opaque {
        let type_name = ident.unraw().to_string();
        quote!(#private::opaque(#type_name))
    } else {
        quote_spanned!(ident.span()=> #private::trace::<Self>())
    };
    let key = key.as_ref().map(|member| {
        let key = quote_spanned!(member.span()=> #krate::AsKey::as_key(&self.#member));
        quote! {
            #[inline]
            fn key(&self) -> ::core::option::Option<#krate::Key<'_>> {
                #key
            }
        }
    });
    Ok(quote! {
        #[automatically_derived]
        impl #krate::Datum for #ident {
            const NAME: &'static str = #name;

            fn schema() -> ::core::result::Result<
                ::core::option::Option<#private::Arc<#private::Schema>>,
                #krate::SchemaError,
            > {
                static SCHEMA: #private::Cache = #private::Cache::new();
                SCHEMA.get(|| #schema)
            }

            #[inline]
            fn encode(
                &self,
                out: &mut #krate::Encoder<'_>,
            ) -> ::core::result::Result<(), #krate::EncodeError> {
                #encode
            }

            #[inline]
            fn decode(
                payload: #krate::Payload<'_>,
            ) -> ::core::result::Result<Self, #krate::DecodeError> {
                #decode
            }

            #key

            #[inline]
            fn show(
                &self,
                filters: #krate::Filters<'_>,
            ) -> ::core::result::Result<(), #krate::EncodeError> {
                #show
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(code: &str) -> std::result::Result<String, String> {
        let input = syn::parse_str(code).unwrap();
        expand(&input)
            .map(|tokens| tokens.to_string())
            .map_err(|error| error.to_string())
    }

    fn refused(code: &str) -> String {
        expanded(code).unwrap_err()
    }

    #[test]
    fn names_keys_and_paths() {
        let code = expanded("struct WeatherReading { origin: String }").unwrap();
        assert!(code.contains("\"weather_reading\""), "{code}");
        assert!(!code.contains("fn key"), "{code}");
        assert!(code.contains("filters . look :: < Self >"), "{code}");
        for code in [
            "#[datum(name = \"w/r\", key = \"origin\")] struct R { origin: String }",
            "#[datum(name = \"w/r\")] struct R { #[datum(key)] origin: String }",
        ] {
            let code = expanded(code).unwrap();
            assert!(code.contains("\"w/r\""), "{code}");
            assert!(code.contains("& self . origin"), "{code}");
        }
        let code = expanded("struct R(u8, #[datum(key)] u16);").unwrap();
        assert!(code.contains("& self . 1"), "{code}");
        let code = expanded("#[datum(key = \"type\")] struct R { r#type: u8 }").unwrap();
        assert!(code.contains("& self . r#type"), "{code}");
        let code = expanded("#[datum(crate = \"my::mesh\", opaque)] enum E { A }").unwrap();
        assert!(code.contains("impl my :: mesh :: Datum for E"), "{code}");
        assert!(!code.contains(":: rivermesh"), "{code}");
        assert!(code.contains("opaque (\"E\")"), "{code}");
    }

    #[test]
    fn mistakes_are_told() {
        for (code, told) in [
            ("struct R<T>(T);", "no generic parameters"),
            ("union U { a: u8 }", "a union"),
            ("#[datum(name = \"a b\")] struct R;", "no white space"),
            ("#[datum(name = \"\")] struct R;", "not be empty"),
            ("#[datum(nam = \"a\")] struct R;", "unknown attribute"),
            ("#[datum(key)] struct R { a: u8 }", "say which field"),
            (
                "#[datum(key = \"b\")] struct R { a: u8 }",
                "no field `b`; the fields are a",
            ),
            ("#[datum(key = \"b\")] struct R;", "has no fields"),
            (
                "#[datum(key = \"a\")] enum E { A { a: u8 } }",
                "only a struct",
            ),
            (
                "enum E { A { #[datum(key)] a: u8 } }",
                "only a field of a struct",
            ),
            (
                "struct R { #[datum(key)] a: u8, #[datum(key)] b: u8 }",
                "has one key",
            ),
            (
                "#[datum(key = \"a\")] struct R { #[datum(key)] a: u8 }",
                "marked as the key already",
            ),
            (
                "struct R { #[datum(name = \"x\")] a: u8 }",
                "a field takes `key` alone",
            ),
            ("#[datum(opaque, opaque)] struct R;", "given twice"),
        ] {
            let error = refused(code);
            assert!(error.contains(told), "{code}: {error}");
        }
    }
}
